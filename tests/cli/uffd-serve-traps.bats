#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests faults of other page servers: handshakes, sockets, files that change under a session.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  require_userfaultfd
  serve_setup
}
teardown() { common_teardown; }

# Checks that a handshake with this fault is refused with this message, that the next one is served, and
# that the server has no more descriptors open than before.
refuse_handshake() { # <how> <words> [handshake timeout]
  serve_memory --handshake-timeout "${3-20}"
  local before
  before=$(descriptors)
  run -0 uffd-probe --mem memory --socket s.sock --misbehave "$1"
  assert_logged "session 's.sock': connection refused: "
  assert_equal "$(grep -c 'connection refused' server.log)" 1
  assert_logged "$2"
  run -0 probe --socket s.sock --pages 100
  wait_until 5 is_back_to "$before"
}

@test "trap: a client that sends nothing is refused" { refuse_handshake silent "no complete handshake within 900 ms" 0.9; }
@test "trap: half a handshake is refused" { refuse_handshake partial "no complete handshake within 900 ms" 0.9; }
@test "trap: a handshake that is not JSON is refused" { refuse_handshake garbage "the body is not JSON"; }
@test "trap: a handshake without a descriptor is refused" { refuse_handshake no-fd "no complete handshake within 900 ms" 0.9; }
@test "trap: a descriptor that is not a userfaultfd is refused" { refuse_handshake wrong-fd "is not a userfaultfd"; }
@test "trap: a handshake with two descriptors is refused" { refuse_handshake two-fds "more than one descriptor"; }
@test "trap: regions that overlap are refused" { refuse_handshake overlap "regions 0 and 1 overlap"; }
@test "trap: an unaligned region is refused" { refuse_handshake unaligned "not a multiple of the page size"; }
@test "trap: a region beyond the end of the file is refused" { refuse_handshake beyond "beyond the memory file's"; }
@test "trap: an endless handshake is refused" { refuse_handshake huge "longer than"; }

@test "trap: a handshake in three parts, its descriptor with the second, is served" {
  serve_memory
  run -0 uffd-probe --mem memory --socket s.sock --misbehave split
}

@test "trap: 64 regions, a handshake of far more than 1024 bytes, are served" {
  serve_memory
  run -0 probe --socket s.sock --regions 64
}

@test "trap: the server calls neither UFFDIO_API nor REGISTER on the VMM's userfaultfd" {
  require_cmd strace
  rm -f ready && mkfifo ready
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to server.log bash -c \
    'exec strace -f -qq -e trace=ioctl -o calls uffd-serve --mem memory --socket s.sock --once --ready-fd 9 9>ready'
  read -r <ready
  : >calls # what follows is about the VMM
  run -0 probe --socket s.sock --balloon 2
  wait_until 20 is_gone "$spawned_pid"
  grep -q UFFDIO_COPY calls || fail "the trace is empty"
  run grep -E 'UFFDIO_(API|REGISTER)' calls
  assert_equal "$output" ""
}

@test "trap: a socket path of 107 bytes is served, one of 108 bytes is refused by name" {
  local dir name
  dir=$(printf 'd%.0s' {1..60})
  mkdir "$dir"
  name=$dir/$(printf 's%.0s' {1..46})
  ((${#name} == 107))
  serve --mem memory --socket "$name"
  run -0 probe --socket "$name" --pages 10
  run --separate-stderr -2 uffd-serve --mem memory --socket "${name}x"
  assert_contains "$stderr" "'${name}x' has 108 bytes"
}

@test "trap: a session whose socket path would have 108 bytes is refused" {
  serve_control
  local id room path=$PWD/s/.sock
  room=$((107 - ${#path}))
  ((room > 0)) || skip "the test's own directory is too long"
  id=$(printf 'i%.0s' $(seq "$room"))
  run -0 uffd-ctl create "$id=memory"
  run -0 probe --socket "$PWD/s/$id.sock" --pages 10
  run --separate-stderr -1 uffd-ctl create "${id}i=memory"
  assert_contains "$stderr" "108 bytes"
}

@test "trap: a memory file replaced or unlinked while it is served is still served" {
  chmod 444 memory # read directly, whatever the filesystem can do
  cp memory whole
  serve_memory
  make_memory other
  mv other memory
  run -0 uffd-probe --mem whole --socket s.sock --pages 1000
  rm memory
  run -0 uffd-probe --mem whole --socket s.sock
}

@test "trap: a VMM killed at many points while it is served leaves nothing" {
  serve_memory -q
  local n
  for n in 1 2 3 5 8 13 40 100 300 1000; do
    run uffd-probe --mem memory --socket s.sock --jobs 2 --overlap --kill-after "$n"
    assert_contains "$output" "killed"
  done
  run -0 probe --socket s.sock
  assert_equal "$(<server.log)" ""
}

@test "trap: a draining server refuses every new session" {
  serve_control
  uffd-ctl create keep=memory
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to many bash -c 'for i in {1..200}; do uffd-ctl create "m$i=memory" || true; done'
  wait_until 10 grep -q m5 many
  uffd-ctl drain
  run -1 uffd-ctl create late=memory
  wait_until 30 is_gone "$spawned_pid"
  # The accepted sessions exist and can be served.
  local last
  last=$(grep -c '^m.*sock$' many)
  run -0 uffd-ctl sessions
  assert_equal "$(grep -c ^m <<<"$output")" "$last"
  run -0 probe --socket "s/m$last.sock" --pages 5
}
