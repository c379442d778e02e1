#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests uffd-serve as a service: its directory, session ids, records, and client.
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

@test "uffd-ctl: distinguishes no server from a server that does not answer" {
  export SNAPFORK_PAGER=$PWD/c.sock
  run --separate-stderr -1 uffd-ctl health
  assert_contains "$stderr" "no server listens at"
  serve_control
  kill -STOP "$server"
  run --separate-stderr -5 uffd-ctl --timeout 0.2 health
  assert_contains "$stderr" "does not answer within 200 ms; it is running"
  kill -CONT "$server"
  run -0 uffd-ctl -t 20 health
}

@test "the directories of --data-dir are accessible only to their owner, whatever the umask" {
  umask 0
  serve_hypeman
  assert_equal "$(stat -c %a data data/uffd data/uffd/0.1.6 data/uffd/0.1.6/sessions | sort -u)" 700
}
