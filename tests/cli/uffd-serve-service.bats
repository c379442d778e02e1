#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests uffd-serve as a service: its directory, session ids, and records.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../mounts

setup() { serve_setup; }
teardown() {
  common_teardown
  unmount_all
}

@test "two services in one directory: the second is refused, the first continues" {
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  uffd-ctl create b=memory
  run --separate-stderr -1 uffd-serve --control other.sock
  assert_contains "$stderr" "another server uses it"
  [[ ! -e other.sock && -S s/b.sock && -s s/a.vmm ]] || fail "the second server changed something" "$(ls . s)"
  run -0 probe --socket s/b.sock --pages 10
}

@test "create: a waiting session of the same image is reused; another image needs --replace" {
  serve_control
  make_memory other
  run -0 uffd-ctl create a=memory
  local made=$output inode
  inode=$(stat -c %i s/a.sock)
  run -0 uffd-ctl create a=memory
  assert_equal "$output" "$made"
  assert_equal "$(stat -c %i s/a.sock)" "$inode"
  run --separate-stderr -1 uffd-ctl create a=other
  assert_contains "$stderr" "refused the request (409): session 'a' already exists: it waits with a different memory file, '$PWD/memory'"
  run -0 probe --socket s/a.sock --pages 10
  run -0 uffd-ctl create b=memory
  run -0 uffd-ctl create --replace b=other
  run -0 uffd-probe --mem other --socket s/b.sock --pages 10
}

@test "create: an id with a connected VMM is refused; with --replace its guest is still served" {
  require_userfaultfd
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  run --separate-stderr -1 uffd-ctl create a=memory
  assert_contains "$stderr" "it serves process"
  run -0 uffd-ctl create --replace a=memory
  run -0 uffd-ctl sessions
  assert_contains "$output" "a	waiting"
  assert_contains "$output" "	closing"
}

@test "a server that was killed while it wrote a record: the next one removes the temporary file" {
  mkdir -m 700 s
  : >s/.a@00000000.vmm.snapfork-tmp
  printf 'not ours\n' >s/other
  serve_control
  [[ ! -e s/.a@00000000.vmm.snapfork-tmp && -e s/other ]]
}

@test "hung: a server that ends before it answers is a killed one" {
  require_userfaultfd
  require_cmd python3
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  local pid
  pid=$(cut -d ' ' -f 1 s/a.vmm)
  kill -KILL "$server"
  wait_until 5 is_gone "$server"
  rm c.sock
  # It accepts one connection, and ends.
  spawn python3 -c 'import socket
server = socket.socket(socket.AF_UNIX)
server.bind("c.sock")
server.listen()
open("listens", "w").close()
client = server.accept()[0]
server.close()
client.close()'
  wait_until 10 test -e listens
  run -0 uffd-ctl hung
  assert_equal "$output" "a	$pid"
}

@test "hung: names guests of a killed server, with and without a new server" {
  require_userfaultfd
  serve_control
  uffd-ctl create a=memory
  run -0 uffd-ctl hung
  assert_equal "$output" ""
  hold_vmm s/a.sock --pages 10
  run -0 uffd-ctl hung
  assert_equal "$output" "" # it is served
  local pid
  pid=$(cut -d ' ' -f 1 s/a.vmm)
  kill -KILL "$server"
  wait_until 5 is_gone "$server"
  run -0 uffd-ctl hung
  assert_equal "$output" "a	$pid"
  serve_control
  uffd-ctl create b=memory
  run -0 uffd-ctl hung --json
  assert_equal "$(json .session_id)" a
  assert_equal "$(json .vmm_pid)" "$pid"
  assert_equal "$(json .record)" "$PWD/s/a.vmm"
}

@test "hung: a guest whose id was used again is named until its VMM ends" {
  require_userfaultfd
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  local pid first=$vmm holder_of_first=$holder
  pid=$(cut -d ' ' -f 1 s/a.vmm)
  kill -KILL "$server"
  wait_until 5 is_gone "$server"
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  [[ $(cut -d ' ' -f 1 s/a.vmm) != "$pid" ]] || fail "the new VMM has no record"
  assert_equal "$(cut -d ' ' -f 1 "s/a.$pid.vmm")" "$pid"
  run -0 uffd-ctl hung
  assert_equal "$output" "a	$pid"
  kill -KILL "$pid" "$holder_of_first"
  wait_until 10 is_gone "$first"
  run -0 uffd-ctl hung
  assert_equal "$output" ""
  # Its record is removed when the next guest connects or ends.
  release_vmm
  wait_until 10 test ! -e "s/a.$pid.vmm"
  wait_until 10 test ! -e s/a.vmm
  assert_equal "$(ls s)" ""
}

@test "a full run directory: the guest is served, and recorded as soon as space is free" {
  require_userfaultfd
  mount_fs tmpfs "$PWD/run" 1
  export SNAPFORK_PAGER=$PWD/run/c.sock
  serve --control run/c.sock
  uffd-ctl create a=memory
  dd if=/dev/zero of=run/filler bs=4k 2>/dev/null || true
  hold_vmm run/s/a.sock --pages 10
  assert_logged "served without its record, and the server tries again"
  rm run/filler
  wait_until 10 test -s run/s/a.vmm
  release_vmm
  wait_until 10 test ! -e run/s/a.vmm
}

@test "the directories of --data-dir are accessible only to their owner, whatever the umask" {
  umask 0
  serve_hypeman
  assert_equal "$(stat -c %a data data/uffd data/uffd/0.1.6 data/uffd/0.1.6/sessions | sort -u)" 700
}

@test "a served VMM has s/ID.vmm and no socket, and close leaves it served" {
  serve_control
  uffd-ctl create a=memory
  hold_vmm "$PWD/s/a.sock" --pages 50
  [[ -s s/a.vmm ]] || fail "no record"
  [[ ! -e s/a.sock ]] || fail "another VMM can connect"
  local pid start _
  read -r pid start _ <s/a.vmm
  assert_equal "$start" "$(awk '{print $22}' "/proc/$pid/stat")"
  run -0 uffd-ctl close a
  run -0 uffd-ctl sessions
  assert_equal "$output" "a"$'\t'"closing"$'\t'"$pid"
  release_vmm
  wait_until 5 test ! -e s/a.vmm
  run -0 uffd-ctl sessions
  assert_equal "$output" ""
}

@test "a killed server leaves s/ID.vmm; the next one names the guest and removes the leftovers" {
  serve_control
  uffd-ctl create a=memory b=memory
  hold_vmm "$PWD/s/a.sock" --pages 50
  kill -KILL "$server"
  wait_until 5 is_gone "$server"
  [[ -s s/a.vmm && -S s/b.sock ]] || fail "no record"
  serve_control
  assert_logged "its guest hangs"
  [[ -s s/a.vmm && ! -e s/b.sock ]] || fail "wrong files were removed"
  kill -KILL "$server"
  wait_until 5 is_gone "$server"
  release_vmm
  wait_until 10 is_gone "$vmm"
  serve_control
  [[ ! -e s/a.vmm ]] || fail "the record of a dead VMM is left"
}

@test "--exit-when-idle: ends after the last session was closed or its VMM ended" {
  serve_control --exit-when-idle
  uffd-ctl create a=memory b=memory
  uffd-ctl close a
  run -0 probe --socket s/b.sock --pages 10
  wait_for_end "$server" 0
  assert_equal "$(ls s)" ""
}

@test "SIGTERM to a service ends sessions without a VMM and still serves guests" {
  serve_control
  uffd-ctl create a=memory b=memory
  hold_vmm "$PWD/s/a.sock" --pages 50
  kill -TERM "$server"
  wait_until 5 test ! -e s/b.sock
  run --separate-stderr -1 uffd-ctl create c=memory
  assert_contains "$stderr" "draining"
  release_vmm
  wait_for_end "$server" 0
}

@test "a second service on the socket, or an s that is not a directory, is refused" {
  serve_control
  run --separate-stderr -1 uffd-serve --control c.sock
  assert_contains "$stderr" "another server uses it"
  mkdir other
  echo >other/s
  run --separate-stderr -5 uffd-serve --control other/c.sock
  assert_contains "$stderr" "other/s'"
}

@test "an idle server with waiting and served sessions never wakes up" {
  require_userfaultfd
  require_plain_build
  serve_control
  uffd-ctl create a=memory b=memory
  hold_vmm "$PWD/s/a.sock" --pages 20
  switches() { cat "/proc/$server/task/"*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
  # A server that wakes up periodically, at least once a second, never has such a second.
  sleeps_for_a_second() {
    local before
    before=$(switches)
    timeout 1 tail -f /dev/null 3>&- 4>&- || true
    (($(switches) == before))
  }
  wait_until 10 sleeps_for_a_second # the first seconds may still have work of the requests above
}
