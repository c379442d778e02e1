#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests bad input to the service: memory files, ids, bodies, numbers of sessions, descriptors.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  require_cmd curl
  serve_setup
}
teardown() { common_teardown; }

# Checks that a session of this file is refused with this status and names the file, and that nothing changes.
refuse_memory() { # <status> <path> <words>
  ask_for "$1" POST /sessions "{\"session_id\":\"a\",\"backing_memory_path\":\"$2\"}"
  assert_contains "$(json .error)" "$2"
  assert_contains "$(json .error)" "$3"
  ask_for 200 GET /sessions
  assert_equal "$output" '{"sessions":[]}'
  assert_equal "$(ls s)" ""
}

@test "a memory file that is a directory is refused" {
  serve_control
  refuse_memory 400 "$PWD" "not a regular file"
}

@test "a memory file that is a device is refused" {
  serve_control
  refuse_memory 400 /dev/zero "not a regular file"
}

@test "a memory file that is a fifo is refused without waiting" {
  serve_control
  mkfifo fifo
  refuse_memory 400 "$PWD/fifo" "not a regular file"
}

@test "a memory file that is empty is refused" {
  serve_control
  : >empty
  refuse_memory 400 "$PWD/empty" "it is empty"
}

@test "a memory file that is not a multiple of 4096 bytes is refused" {
  serve_control
  truncate -s 5000 odd
  refuse_memory 400 "$PWD/odd" "not a multiple of 4096"
}

@test "a memory file that is missing or unreadable is refused" {
  serve_control
  refuse_memory 400 "$PWD/absent" "No such file"
  refuse_memory 400 "$PWD/memory/below" "Not a directory"
}

@test "a memory file that grows: earlier sessions keep the old size, later ones get the new" {
  require_userfaultfd
  serve_control
  cp memory whole
  ask_for 200 POST /sessions "$(session_body old)"
  head -c 8192 /dev/urandom >>memory
  cp memory larger
  ask_for 200 POST /sessions "$(session_body new)"
  run -0 uffd-probe --mem larger --socket s/new.sock
  run -0 uffd-probe --mem whole --socket s/old.sock
}

@test "a handshake for more than the memory file had when its session was made is refused" {
  require_userfaultfd
  serve_control
  ask_for 200 POST /sessions "$(session_body old)"
  head -c 8192 /dev/urandom >>memory
  run uffd-probe --mem memory --socket s/old.sock --deadline 20
  ((status != 0)) || fail "the VMM was served"
  assert_logged "beyond the memory file's 8388608 bytes"
}

@test "sessions of the same id: refused while a VMM is connected, replaced on request" {
  require_userfaultfd
  serve_control
  ask_for 200 POST /sessions "$(session_body vm)"
  hold_vmm "$PWD/s/vm.sock" --pages 20
  ask_for 409 POST /sessions "$(session_body vm)"
  assert_contains "$(json .error)" "session 'vm' already exists: it serves process"
  ask_for 200 POST /sessions "$(session_body vm replace=true)"
  ask_for 200 POST /sessions "$(session_body vm)" # the one that waits
  ask_for 200 GET /sessions
  assert_equal "$(json '[.sessions[].state] | sort | tostring')" '["closing","waiting"]'
  run -0 probe --socket s/vm.sock
  wait_for_session_end vm
  ask_for 200 GET /sessions
  assert_equal "$(json '.sessions | length')" 1
}

@test "hostile session ids stay in the directory and in one line of the log" {
  serve_control -v
  local id name
  while IFS=$'\t' read -r id name; do
    ask_for 200 POST /sessions "$(session_body "$id")"
    assert_equal "$(json .session_id)" "$name"
    [[ -S s/$name.sock ]] || fail "no socket for $id"
    ask_for 204 POST "/sessions/$name/close"
  done <<'IDS'
../../x	-.-..-x
..	-.
.hidden	-hidden
a/b	a-b
a\nuffd-serve: b	a-uffd-serve--b
$(reboot)	--reboot-
-rf	-rf
IDS
  refute_contains "$(<server.log)" $'\nuffd-serve: b'
  [[ ! -e x.sock && ! -e ../x.sock ]] || fail "a socket is outside of the directory"
  ask_for 400 POST /sessions "$(session_body "$(printf 'x%.0s' {1..120})")"
  assert_contains "$(json .error)" 107
}

@test "10,000 sessions without a VMM are created, listed and closed, and leave nothing" {
  require_userfaultfd
  (($(ulimit -Hn) >= 10200)) || skip "needs 10,200 descriptors, but only $(ulimit -Hn) are allowed"
  serve_control
  local before operands
  before=$(descriptors)
  mapfile -t operands < <(seq -f 'n%.0f=memory' 10000)
  uffd-ctl create "${operands[@]}" >made
  assert_equal "$(wc -l <made)" 10000
  assert_equal "$(uffd-ctl sessions | wc -l)" 10000
  serves_nobody || fail "sessions without a VMM have threads"
  run -0 probe --socket s/n5000.sock
  uffd-ctl close "${operands[@]%%=*}"
  ask_for 200 GET /health
  assert_equal "$(json .active_sessions)" 0
  assert_equal "$(ls s)" ""
  wait_until 5 is_back_to "$before"
}

@test "HTTP: a body of 2 MiB is 413, and the connection still works" {
  serve_control
  head -c $((2 << 20)) /dev/zero | tr '\0' ' ' >large
  run -0 curl -s --unix-socket c.sock -o /dev/null -w '%{http_code} %{num_connects}\n' \
    --data-binary @large http://pager/sessions --next \
    --unix-socket c.sock -s -o /dev/null -w '%{http_code}\n' http://pager/health
  assert_equal "$(head -c 3 <<<"$output") ${lines[1]}" "413 200"
}

@test "HTTP: a zero byte in a path or a query is refused" {
  require_cmd curl
  serve_control
  uffd-ctl create a=memory
  local path
  for path in /health%00x /health%00 /sessions/a%00b '/health?x=a%00b'; do
    ask_for 400 GET "$path"
    assert_contains "$(json .error)" "zero byte"
  done
  ask_for 400 POST /sessions/a%00b/close
  ask_for 404 GET /sessions/a%2500b
  ask_for 200 GET /sessions/%61
  ask_for 200 GET '/health?x=%01'
}

# Opens silent connections, and prints how many of them the server leaves open once at most LIMIT are open.
flood() { # <count> <limit>
  /usr/bin/python3 - "$@" <<'PY'
import select, socket, sys

count, limit = int(sys.argv[1]), int(sys.argv[2])
peers = []
for _ in range(count):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect("c.sock")
    peers.append(peer)
left = peers
while len(left) > limit:  # the server closes the others, one after the other
    ended = select.select(left, [], [])[0]
    left = [peer for peer in left if peer not in ended]
print("open", flush=True)
sys.stdin = open("release")
sys.stdin.read()
print(len(left) - len(select.select(left, [], [], 0)[0]))
PY
}

@test "HTTP: silent connections block neither their own user nor others" {
  require_root
  require_cmd setpriv curl
  chmod 755 . "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
  serve_control
  chmod 666 c.sock
  mkfifo release
  chmod 644 release
  export -f flood
  spawn_to own.log bash -c 'flood 600 256'
  local own=$spawned_pid
  spawn_to other.log setpriv --reuid 12345 --clear-groups bash -c 'flood 300 8'
  local other=$spawned_pid
  wait_until 20 grep -q open own.log
  wait_until 20 grep -q open other.log
  run -0 timeout 60 uffd-ctl health
  run -0 setpriv --reuid 12346 --clear-groups curl -s -m 60 --unix-socket c.sock http://x/health
  assert_contains "$output" "only root and the server's user may use this socket"
  assert_logged "too many control connections"
  : >release
  wait_for_end "$own" 0
  wait_for_end "$other" 0
  # Fewer if this test took longer than the 30 s that the server gives each connection.
  (($(tail -n 1 own.log) <= 256)) || fail "more connections than allowed: $(<own.log)"
  (($(tail -n 1 other.log) <= 8)) || fail "more connections than allowed: $(<other.log)"
  # Each is at most one line in the log, and all together are at most ten.
  (($(grep -c "too many control connections" server.log) <= 11)) || fail "$(<server.log)"
}

@test "HTTP: fields of the wrong type are named and change nothing" {
  serve_control
  local pair name
  for pair in 'session_id=7' 'session_id=["a"]' 'instance_id={}' 'cache_key=true' 'hot_list_path=1.5' \
    'trace_path=[]' 'trace_path="/a\u0000b"' 'on_failure=0' 'on_failure="explode"' 'peer_uid="0"' 'peer_uid=-1' 'peer_uid=1.5' \
    'peer_uid=4294967295' 'session_id="a\u0000b"' 'instance_id="a\u0000b"' 'cache_key="a\u0000b"' \
    'peer_uid=true' 'backing_memory_path=7' 'backing_memory_path="/a\u0000b"'; do
    name=${pair%%=*}
    ask_for 400 POST /sessions "$(session_body a "$pair")"
    assert_contains "$(json .error)" "'$name'"
  done
  local body
  for body in '' '[]' '7' 'null' '"a"' '{' '{}x' 'nonsense' "$(printf '[%.0s' {1..100000})"; do
    ask_for 400 POST /sessions "$body"
  done
  ask_for 200 GET /health
  assert_equal "$(json .active_sessions)" 0
}

@test "HTTP: unknown fields are ignored, null and empty ones count as not given" {
  serve_control
  ask_for 200 POST /sessions "$(session_body a what='{"is":["this"]}' hot_list_path=null trace_path='""' \
    peer_uid=null on_failure=null instance_id=null overlays=null)"
}

@test "HTTP: unknown paths are 404, wrong methods 405, malformed requests harmless" {
  serve_control
  local path
  for path in / /sessionsx /sessions/ /sessions/a/b /sessions/a/b/c /sessions//close /health/x //health; do
    ask_for 404 GET "$path"
  done
  for path in /health /stats /metrics /sessions/a; do ask_for 405 POST "$path"; done
  for path in /drain /sessions/a/close; do ask_for 405 GET "$path"; done
  ask_for 405 DELETE /sessions
  head -c 100000 /dev/urandom >noise
  run curl -s -m 5 --unix-socket c.sock telnet://pager/ -T noise
  ask_for 200 GET /health
  assert_equal "$(json .draining)" false
}

@test "without free descriptors new sessions are refused, requests answered, guests served" {
  require_userfaultfd
  NOFILE=64 serve_control
  uffd-ctl create served=memory first=memory >/dev/null
  hold_vmm "$PWD/s/served.sock" --pages 20
  local i refused=0
  for i in {1..60}; do
    uffd-ctl create "s$i=memory" >/dev/null 2>refusal || ((refused += 1))
  done
  ((refused > 10)) || fail "only $refused were refused"
  assert_contains "$(<refusal)" "cannot accept another session: out of file descriptors (RLIMIT_NOFILE is 64)"
  run -0 uffd-ctl session served
  assert_equal "$(json .state)" serving
  run -0 uffd-ctl session first
  assert_equal "$(json .state)" waiting
  for i in {1..10}; do uffd-ctl close "s$i"; done
  run -0 probe --socket s/first.sock
}
