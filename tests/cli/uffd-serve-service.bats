#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-serve as a service: its directory, the ids of its sessions, what it records, and its client.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../mounts

setup() { serve_setup; }
teardown() {
  common_teardown
  unmount_all
}

@test "two services with control sockets in one directory: the second is refused, the first serves on" {
  serve_control
  uffd-ctl create a=memory
  hold_vmm s/a.sock --pages 10
  uffd-ctl create b=memory
  run --separate-stderr -1 uffd-serve --control other.sock
  assert_contains "$stderr" "another server is there"
  [[ ! -e other.sock && -S s/b.sock && -s s/a.vmm ]] || fail "the second server changed something" "$(ls . s)"
  run -0 probe --socket s/b.sock --pages 10
}

@test "create: the session that waits with this image is the same; another image is refused unless --replace" {
  serve_control
  make_memory other
  run -0 uffd-ctl create a=memory
  local made=$output inode
  inode=$(stat -c %i s/a.sock)
  run -0 uffd-ctl create a=memory
  assert_equal "$output" "$made"
  assert_equal "$(stat -c %i s/a.sock)" "$inode"
  run --separate-stderr -1 uffd-ctl create a=other
  assert_contains "$stderr" "refuses (409): session 'a' already exists: it waits with another memory file, '$PWD/memory'"
  run -0 probe --socket s/a.sock --pages 10
  run -0 uffd-ctl create b=memory
  run -0 uffd-ctl create --replace b=other
  run -0 uffd-probe --mem other --socket s/b.sock --pages 10
}

@test "create: an id whose VMM is connected is refused, and with --replace its guest is served on" {
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

@test "hung: names guests of a killed server, with a server and without" {
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

@test "hung: a guest is named although its id was used again, until its VMM has ended" {
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
  # Its record goes with the next guest that comes or goes.
  release_vmm
  wait_until 10 test ! -e "s/a.$pid.vmm"
  wait_until 10 test ! -e s/a.vmm
  assert_equal "$(ls s)" ""
}

@test "a run directory that is full: the guest is served, and recorded as soon as there is space" {
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

@test "uffd-ctl: no server, and a server that does not answer, are told apart" {
  export SNAPFORK_PAGER=$PWD/c.sock
  run --separate-stderr -1 uffd-ctl health
  assert_contains "$stderr" "no server at"
  serve_control
  kill -STOP "$server"
  run --separate-stderr -5 uffd-ctl --timeout 0.2 health
  assert_contains "$stderr" "does not answer within 200 ms; it runs"
  kill -CONT "$server"
  run -0 uffd-ctl -t 20 health
}

@test "the directories of --data-dir are for their owner only, whatever the umask is" {
  umask 0
  serve_hypeman
  assert_equal "$(stat -c %a data data/uffd data/uffd/0.1.6 data/uffd/0.1.6/sessions | sort -u)" 700
}
