#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# fc-api: calls to an HTTP server on a Unix socket. tests/firecracker/api.bats has the calls to a real Firecracker.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load uffd-serve_helpers

setup() { serve_setup; }
teardown() { common_teardown; }

# A server that is not Firecracker: answers each connection with the bytes of a file, after it has read a whole request into
# `request`. Files that are not there mean silence.
serve_reply() { # <file>
  cat >fake.py <<'PY'
import os, socket, sys

server = socket.socket(socket.AF_UNIX)
server.bind("fake.sock")
server.listen()
print("ready", flush=True)
kept = []
while True:
    peer, _ = server.accept()
    kept.append(peer)
    data = b""
    while b"\r\n\r\n" not in data:
        data += peer.recv(65536)
    head, body = data.split(b"\r\n\r\n", 1)
    length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")][0]
    while len(body) < length:
        body += peer.recv(65536)
    with open("request", "wb") as out:
        out.write(head + b"\r\n\r\n" + body)
    if os.path.exists(sys.argv[1]):
        peer.sendall(open(sys.argv[1], "rb").read())
        peer.close()
PY
  spawn_to fake.log /usr/bin/python3 fake.py "$1"
  wait_until 20 grep -q ready fake.log
}

@test "fc-api: help, version, unknown options, closed streams" {
  standard_cases fc-api
  run -2 --separate-stderr fc-api a.sock GET
  assert_contains "$stderr" 'too few operands: SOCK, METHOD and PATH needed'
}

@test "fc-api refuses a method or path that Firecracker does not have" {
  local words
  for words in 'get /' 'DELETE /' 'GET version' 'GET ' "GET /a${IFS:0:1}b"; do
    run -2 --separate-stderr fc-api a.sock "${words%% *}" "${words#* }"
    assert_contains "$stderr" 'fc-api: '
  done
  run -2 fc-api a.sock GET $'/a\r\nX: y'
  run -2 fc-api "$(printf 'x%.0s' {1..120})" GET /
  assert_contains "$output" '107'
}

@test "fc-api prints the body of a reply of a real server, and its refusals" {
  serve_control
  run -0 --separate-stderr fc-api c.sock GET /health
  assert_equal "$stderr" ''
  assert_equal "$(json '.draining | type')" boolean
  run -1 --separate-stderr fc-api c.sock GET /nowhere
  assert_contains "$stderr" "fc-api: cannot GET '/nowhere': 404: "
}

@test "fc-api reports Firecracker's fault message, and prints the reply unchanged" {
  local body='{"fault_message":"The \"kernel\" cannot\nload"}'
  printf 'HTTP/1.1 400 \r\nServer: Firecracker API\r\nContent-Length: %d\r\n\r\n%s' "${#body}" "$body" >reply
  serve_reply reply
  run -1 --separate-stderr fc-api fake.sock PUT /boot-source '{"kernel_image_path":"x"}'
  assert_equal "$output" "$body"
  assert_equal "$stderr" "fc-api: cannot PUT '/boot-source': 400: The \"kernel\" cannot?load"
  assert_equal "$(<request)" $'PUT /boot-source HTTP/1.1\r\nHost: localhost\r\nContent-Length: 25\r\n\r\n{"kernel_image_path":"x"}'
  run -1 --separate-stderr fc-api --json fake.sock PUT /boot-source '{}'
  jq -e '.type == "error" and .exit_code == 1' <<<"${lines[1]}"
}

@test "fc-api accepts a reply without a body, and reads its own body from standard input" {
  printf 'HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n' >reply
  serve_reply reply
  run -0 --separate-stderr fc-api fake.sock PATCH /vm - <<<'{"state":"Paused"}'
  assert_equal "$output$stderr" ''
  assert_contains "$(<request)" '{"state":"Paused"}'
  run -4 --separate-stderr fc-api fake.sock PUT /mmds - < <(head -c 17000000 /dev/zero)
  assert_contains "$stderr" 'standard input'
}

@test "fc-api refuses what is not HTTP, and what ends early" {
  printf 'SSH-2.0-OpenSSH\r\n\r\n' >reply
  serve_reply reply
  run -4 --separate-stderr fc-api fake.sock GET /
  assert_contains "$stderr" "cannot parse the reply of 'fake.sock': it is not HTTP/1.1"
  printf 'HTTP/1.1 200 \r\nContent-Length: 100\r\n\r\n{' >reply
  run -4 --separate-stderr fc-api fake.sock GET /
  assert_contains "$stderr" 'ends early'
  : >reply
  run -1 --separate-stderr fc-api fake.sock GET /
  assert_contains "$stderr" 'ended before it answered'
}

@test "fc-api does not wait longer than --timeout for a silent server" {
  serve_reply never
  run -5 --separate-stderr fc-api --timeout 0.2 fake.sock GET /
  assert_contains "$stderr" "cannot read a reply from 'fake.sock': Connection timed out"
}

@test "fc-api refuses a socket where nothing listens; --wait waits for a listener" {
  run -1 --separate-stderr fc-api c.sock GET /health
  assert_equal "$stderr" "fc-api: cannot connect to 'c.sock': no Firecracker listens there"
  spawn_to waiting.log fc-api --wait 30 c.sock GET /health
  local waiting=$spawned_pid
  serve_control
  wait_until 30 is_gone "$waiting"
  assert_contains "$(<waiting.log)" '"draining"'
  run -1 --separate-stderr fc-api --wait 0.1 absent.sock GET /
}
