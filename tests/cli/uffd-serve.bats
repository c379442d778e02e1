#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests uffd-serve in the foreground; uffd-probe replaces the VMMs and verifies every byte.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() { serve_setup; }
teardown() { common_teardown; }

@test "uffd-serve: help, version, unknown options, closed streams" {
  standard_cases uffd-serve
}

@test "uffd-serve is linked to libmicrohttpd" {
  run -0 ldd "$(type -P uffd-serve)"
  assert_contains "$output" libmicrohttpd
}

@test "serves every byte, to VMMs in sequence and at once" {
  serve_memory
  run -0 probe --socket s.sock
  run -0 probe --socket s.sock --socket s.sock --socket s.sock --pattern seq
  run -0 probe --socket s.sock --regions 3 --jobs 4 --overlap
  run -0 probe --socket s.sock --regions 2 --jobs 2 --write 20
  kill "$server"
  wait_for_end "$server" 0
  [[ ! -e s.sock ]] || fail "the socket is left"
}

@test "--once: ends when the last VMM has ended" {
  serve_memory --once
  run -0 probe --socket s.sock --socket s.sock
  wait_for_end "$server" 0
}

@test "--once: ends when its only VMM is killed" {
  serve_memory --once
  run probe --socket s.sock --kill-after 100
  wait_for_end "$server" 0
}

@test "removed pages read as zeros under a balloon and many vCPUs" {
  serve_memory -q
  run -0 probe --socket s.sock --balloon 4 --jobs 4 --overlap
  run -0 probe --socket s.sock --balloon 6 --jobs 2 --write 30 --regions 2
  run -0 probe --socket s.sock --balloon 4 --pattern seq
}

@test "--hot: listed pages are present before they are touched, and never overwrite removed pages" {
  local pages
  mapfile -t pages < <(seq 0 3 360)
  hot_list "${pages[@]}" >hot
  serve_list_and_page_1 hot
  assert_equal "$(json '[.pages_prefetched, .faults] | tostring')" "[${#pages[@]},1]"
  serve_memory --hot hot
  run -0 probe --socket s.sock --balloon 6
}

@test "--hot: a list for a larger image, a truncated or a missing list ends the server" {
  hot_list 0 4096 >large
  run --separate-stderr -4 uffd-serve --mem memory --socket s.sock --hot large
  assert_contains "$stderr" "'large'"
  assert_contains "$stderr" "larger image"
  head -c 7 large >short
  run --separate-stderr -4 uffd-serve --mem memory --socket s.sock --hot short
  assert_contains "$stderr" "'short'"
  run --separate-stderr -5 uffd-serve --mem memory --socket s.sock --hot absent
  assert_contains "$stderr" "'absent'"
  [[ ! -e s.sock ]] || fail "the server listens"
}

@test "create: a hot list that cannot be used is a warning, and the guest is served" {
  local list
  serve_control
  hot_list 0 4096 >large
  head -c 7 large >short
  : >empty
  mkfifo fifo
  for list in large short empty fifo absent; do
    run -0 --separate-stderr uffd-ctl create --hot $list "vm=memory"
    assert_equal "$output" $'vm\t'"$PWD/s/vm.sock"
    assert_contains "$stderr" "'$PWD/$list'"
    assert_contains "$stderr" 'serving without it'
    run -0 probe --socket s/vm.sock --pages 100
    wait_for_session_end vm
  done
  run -0 --separate-stderr uffd-ctl create --json --hot empty "vm=memory"
  assert_contains "$(json '.warnings[0]')" 'the file is empty'
  hold_vmm s/vm.sock --pages 10
  assert_equal "$(uffd-ctl session vm | jq -c '[.hot_list, .hot_list_refused]')" '[null,true]'
  release_vmm
}

@test "--hot: a list for other regions is a warning, and the guest is served" {
  hot_list 1 2000 >hot
  serve_memory --hot hot
  run -0 probe --socket s.sock --regions 2
  assert_logged "'hot'"
  assert_logged "serving without it"
}

@test "--trace: writes pages in the order of the faults; further VMMs write FILE.2, FILE.3" {
  serve_memory --trace trace
  printf '%s\n' 700 3 4 5 6 2 >touched
  run -0 probe --socket s.sock --pattern trace:touched
  run -0 probe --socket s.sock --pattern seq --pages 10
  kill "$server"
  wait_for_end "$server" 0
  assert_equal "$(head -n 1 trace)" "# snapfork-trace 2 page_size=4096 memory_bytes=8388608 regions=0+8388608"
  assert_equal "$(tail -n +2 trace)" "$(<touched)"
  assert_equal "$(tail -n +2 trace.2)" "$(seq 0 9)"
}

@test "--trace -: writes to standard output" {
  serve_memory --trace -
  run -0 probe --socket s.sock --pattern seq --pages 3
  wait_until 5 grep -qx 2 server.log
  kill "$server"
  wait_for_end "$server" 0
}

@test "a second server on the socket is refused, and the first continues" {
  serve_memory
  run --separate-stderr -1 uffd-serve --mem memory --socket s.sock
  assert_contains "$stderr" "another server uses it"
  run -0 probe --socket s.sock --pages 100
}

@test "the socket of a killed server is replaced; a file that is not a socket is not" {
  serve_memory
  kill -KILL "$server"
  wait_until 5 is_gone "$server"
  [[ -S s.sock ]]
  serve_memory
  run -0 probe --socket s.sock --pages 100
  echo precious >file.sock
  run --separate-stderr -5 uffd-serve --mem memory --socket file.sock
  assert_equal "$(<file.sock)" precious
}

@test "a socket in a directory that does not exist: the directory is named" {
  run --separate-stderr -5 uffd-serve --mem memory --socket no/s.sock
  assert_contains "$stderr" "uffd-serve: cannot listen on 'no/s.sock': no directory 'no'; create it"
  run --separate-stderr -5 uffd-serve --control no/c.sock
  assert_contains "$stderr" "cannot create '$PWD/no/s': no directory '$PWD/no'; mkdir -m 700 makes it"
}

@test "bad memory files are refused by name" {
  : >empty
  truncate -s 5000 odd
  mkfifo fifo
  run --separate-stderr -5 uffd-serve --mem absent --socket s.sock
  assert_contains "$stderr" "'absent'"
  for file in empty odd fifo . /dev/zero; do
    run --separate-stderr -4 timeout 10 uffd-serve --mem "$file" --socket s.sock
    assert_contains "$stderr" "'$file'"
  done
  [[ ! -e s.sock ]] || fail "the server listens"
}

@test "bad command lines exit with 2 and name the option" {
  local long
  long=$(printf 'x%.0s' {1..120})
  run --separate-stderr -2 uffd-serve
  assert_contains "$stderr" "--mem and --socket, or --control"
  run --separate-stderr -2 uffd-serve --mem memory --socket "$long"
  assert_contains "$stderr" "107"
  run --separate-stderr -2 uffd-serve --mem memory --control c.sock
  assert_contains "$stderr" "--mem and --control exclude each other"
  run --separate-stderr -2 uffd-serve --mem memory --socket s.sock --exit-when-idle
  run --separate-stderr -2 uffd-serve --mem memory --socket s.sock operand
  run --separate-stderr -2 uffd-serve --mem memory --socket s.sock --on-failure explode
  run --separate-stderr -2 uffd-serve --mem memory --socket s.sock --ready-fd 77
  assert_contains "$stderr" "--ready-fd"
  run --separate-stderr -2 uffd-serve --mem memory --socket s.sock --handshake-timeout soon
  run --separate-stderr -2 uffd-serve --mem memory --socket s.sock --json --trace -
}

@test "SIGTERM ends a server without guests at once, else after its last guest; a second SIGTERM ends it at once" {
  serve_memory
  kill -TERM "$server"
  wait_for_end "$server" 0

  serve_memory
  hold_vmm s.sock --pages 100
  kill -TERM "$server"
  wait_until 5 test ! -e s.sock
  wait_until 5 grep -q "serving 1 guest until it ends" server.log # written in the background
  release_vmm
  wait_for_end "$server" 0

  serve_memory
  hold_vmm s.sock --pages 100
  kill -TERM "$server"
  wait_until 5 test ! -e s.sock
  kill -TERM "$server"
  wait_for_end "$server" 0
  assert_logged "the guest will hang"
}

@test "a page that cannot be read is poisoned and named with its offset; exit status 5" {
  chmod 444 memory # read directly, whatever the filesystem can do
  serve_memory --window 1 --once
  cp memory whole
  truncate -s $((7 << 20)) memory
  echo 1900 >touched
  run uffd-probe --mem whole --json --socket s.sock --pattern trace:touched
  assert_contains "$output" '"signal":7'
  wait_for_end "$server" 5
  assert_logged "offset $((1900 * 4096)) of 'memory'"
  assert_logged "1 pages of 'memory' could not be read"
}

@test "--on-failure kill: kills the VMM instead" {
  chmod 444 memory
  serve_memory --window 1 --once --on-failure kill
  cp memory whole
  truncate -s $((7 << 20)) memory
  echo 1900 >touched
  run uffd-probe --mem whole --json --socket s.sock --pattern trace:touched
  assert_contains "$output" '"signal":9'
  wait_for_end "$server" 0
  assert_logged "killed the VMM"
}

@test "uffd-serve --json: prints a summary at the end" {
  rm -f ready
  serve_memory --once --json
  run -0 probe --socket s.sock --pattern seq
  wait_for_end "$server" 0
  output=$(<server.log)
  assert_equal "$(json '.type')" summary
  # The hole of 2 MiB and the 1 MiB of stored zeros.
  assert_equal "$(json '.pages_zeroed')" 768
  assert_equal "$(json '.pages_copied')" 1280
}

@test "--peer-uid: the socket belongs to that user only" {
  require_root
  serve_memory --peer-uid 12345
  assert_equal "$(stat -c '%u %a' s.sock)" "12345 600"
}
