#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What other page servers stumbled over: handshakes, sockets, files that change under a session.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  require_userfaultfd
  serve_setup
}
teardown() { common_teardown; }

# A handshake that is bad in this way is refused with these words; the next one is served, and the server
# holds no more descriptors than before.
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

@test "trap: a client that says nothing" { refuse_handshake silent "no whole handshake within 300 ms" 0.3; }
@test "trap: half a handshake" { refuse_handshake partial "no whole handshake within 300 ms" 0.3; }
@test "trap: a handshake that is no JSON" { refuse_handshake garbage "the body is no JSON"; }
@test "trap: no descriptor" { refuse_handshake no-fd "no whole handshake within 300 ms" 0.3; }
@test "trap: a descriptor that is no userfaultfd" { refuse_handshake wrong-fd "is no userfaultfd"; }
@test "trap: two descriptors" { refuse_handshake two-fds "more than one descriptor"; }
@test "trap: regions that overlap" { refuse_handshake overlap "regions 0 and 1 overlap"; }
@test "trap: a region at half a page" { refuse_handshake unaligned "no multiple of the page size"; }
@test "trap: a region beyond the end of the file" { refuse_handshake beyond "beyond the memory file's"; }
@test "trap: a handshake without end" { refuse_handshake huge "longer than"; }

@test "trap: a handshake in three pieces, its descriptor with the second" {
  serve_memory
  run -0 uffd-probe --mem memory --socket s.sock --misbehave split
}

@test "trap: 64 regions, a handshake of far more than 1024 bytes" {
  serve_memory
  run -0 probe --socket s.sock --regions 64
}

@test "trap: a second UFFDIO_API or a REGISTER on a userfaultfd that is the VMM's" {
  require_cmd strace
  rm -f ready && mkfifo ready
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to server.log bash -c \
    'exec strace -f -qq -e trace=ioctl -o calls uffd-serve --mem memory --socket s.sock --once --ready-fd 9 9>ready'
  read -r <ready
  : >calls # what follows is about the VMM
  run -0 probe --socket s.sock --balloon 2
  wait_until 20 is_gone "$spawned_pid"
  grep -q UFFDIO_COPY calls || fail "nothing was traced"
  run grep -E 'UFFDIO_(API|REGISTER)' calls
  assert_equal "$output" ""
}

@test "trap: a socket path of 107 bytes is served, one of 108 refused by name" {
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

@test "trap: a session whose socket path would have 108 bytes" {
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

@test "trap: the memory file replaced by a rename, and unlinked, while it is served" {
  chmod 444 memory # read directly, whatever the filesystem can do
  cp memory whole
  serve_memory
  make_memory other
  mv other memory
  run -0 uffd-probe --mem whole --socket s.sock --pages 1000
  rm memory
  run -0 uffd-probe --mem whole --socket s.sock
}

@test "trap: a VMM killed in the middle of being served, at many points" {
  serve_memory -q
  local n
  for n in 1 2 3 5 8 13 40 100 300 1000; do
    run uffd-probe --mem memory --socket s.sock --jobs 2 --overlap --kill-after "$n"
    assert_contains "$output" "killed"
  done
  run -0 probe --socket s.sock
  assert_equal "$(<server.log)" ""
}

@test "trap: sessions that are asked for while the server drains are refused, each of them" {
  serve_control
  uffd-ctl create keep=memory
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to many bash -c 'for i in {1..200}; do uffd-ctl create "m$i=memory" || true; done'
  wait_until 10 grep -q m5 many
  uffd-ctl drain
  run -1 uffd-ctl create late=memory
  wait_until 30 is_gone "$spawned_pid"
  # Those that were taken are there, and can be served.
  local last
  last=$(grep -c '^m.*sock$' many)
  run -0 uffd-ctl sessions
  assert_equal "$(grep -c ^m <<<"$output")" "$last"
  run -0 probe --socket "s/m$last.sock" --pages 5
}
