#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Changes by several processes at the same time, and files that belong to other guests.
# shellcheck disable=SC2154 # stderr and spawned_pid are set by run and the helpers

load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

@test "40 processes that run set under one inherited lock lose no update" {
  init_guest a
  # shellcheck disable=SC2016 # for the shell in there
  template-lock a -- bash -c 'for i in {1..40}; do snapshot-meta set a "K$i=v" && echo done & done; wait' >out
  assert_equal "$(grep -c 'done' out)" 40
  assert_equal "$(snapshot-meta show a | grep -c '"K')" 40
}

@test "init refuses files of a guest through any path" {
  init_template base
  make_fork base f >/dev/null
  store_picture >before
  refuses() { # <state> <memory>
    run -1 --separate-stderr snapshot-meta init thief --state "$1" --memory "$2"
    assert_contains "$stderr" "$3"
    run -1 snapshot-meta init --dry-run thief --state "$1" --memory "$2"
  }
  make_snapshot
  refuses "$(state_of base)" "$(memory_of base)" "it belongs to the guest 'base'"
  refuses state "$(memory_of f)" "it belongs to the guest 'f'"
  refuses state "$SNAPFORK_ROOT/guests/../guests//base/./snapshots/snapshot-latest/memory" "it belongs to the guest 'base'"
  ln -s "$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest" alias
  refuses state alias/memory "it belongs to the guest 'base'"
  ln "$(memory_of base)" second
  refuses state second 'it has 3 links, so it can be written through another name'
  rm second alias
  store_picture | cmp - before
}

@test "rewrite-paths without --force does not replace a file that appears while it runs" {
  require_cmd strace
  make_snapshot drive=/vm/root.ext4
  # OUT appears just before the new file is linked.
  strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:delay_enter=5000000 -- \
    snapshot-meta rewrite-paths --from /vm/root.ext4 --to /a state out >said 2>&1 3>&- 4>&- &
  local writer=$!
  spawned+=("$writer")
  wait_until 10 test -e .out.snapfork-tmp
  echo mine >out
  local status=0
  wait "$writer" || status=$?
  assert_equal "$status" 1
  assert_contains "$(<said)" "cannot write 'out': it already exists"
  assert_equal "$(<out)" mine
  [[ ! -e .out.snapfork-tmp ]]
}

# Makes a Diff of 2 MiB with one nonzero page and one zero page as data.
make_diff() {
  rm -f diff
  truncate -s 2M diff
  printf 'DIFF' | dd of=diff bs=4096 seek=3 conv=notrunc status=none
  head -c 4096 /dev/zero | dd of=diff bs=4096 seek=9 conv=notrunc status=none
}

@test "merge-diff refuses the memory of a guest that runs or whose lock is held" {
  init_guest a
  make_diff
  sha256sum "$(memory_of a)" >before
  exec {disk}<>"$(guest_dir a)/disk"
  run -1 --separate-stderr snapshot-meta merge-diff diff "$(memory_of a)"
  assert_contains "$stderr" "the guest 'a' is Running: process $$"
  exec {disk}>&-
  mkfifo hold
  spawn template-lock --exclusive a -- bash -c ': >held; read -r <hold'
  wait_until 10 test -e held
  run -1 --separate-stderr snapshot-meta merge-diff --dry-run diff "$(memory_of a)"
  run -124 timeout 0.2 snapshot-meta merge-diff diff "$(memory_of a)"
  sha256sum --check --quiet before
  echo >hold
  wait_until 10 template-lock wait --timeout 1 a
  run -0 --separate-stderr snapshot-meta merge-diff diff "$(memory_of a)"
  assert_equal "$stderr" ''
}

@test "merge-diff refuses a file that another process has open, and the Diff itself" {
  make_snapshot
  make_diff
  exec {reader}<memory
  run -1 --separate-stderr snapshot-meta merge-diff diff memory
  assert_contains "$stderr" 'has it open'
  exec {reader}<&-
  ln -s diff same
  run -1 --separate-stderr snapshot-meta merge-diff diff same
  assert_contains "$stderr" 'they are the same file'
}

@test "merge-diff warns about a Diff without a zero page, which may have lost its zeros" {
  make_snapshot
  make_diff
  cp --sparse=always diff packed
  run -0 --separate-stderr snapshot-meta merge-diff packed memory
  assert_contains "$stderr" "'packed' has no zero page that is data"
}

@test "a stopped process that waits for a lock is reported with advice" {
  init_guest a
  mkfifo hold
  spawn template-lock --shared a -- bash -c ': >held; read -r <hold'
  wait_until 10 test -e held
  spawn template-lock --exclusive --timeout 60 a -- true
  local waiter=$spawned_pid
  waits() { [[ $(template-lock --no-wait --shared a -- true 2>&1) == *"$waiter"* ]]; }
  wait_until 10 waits
  kill -STOP "$waiter"
  is_stopped() { grep -q '^State:.*T' "/proc/$waiter/status"; }
  wait_until 10 is_stopped
  echo >hold
  names_it() { [[ $(template-lock --no-wait --shared a -- true 2>&1) == *"$waiter (template-lock) waits for it before others and is stopped; continue it (kill -CONT $waiter)"* ]]; }
  wait_until 10 names_it
  kill -CONT "$waiter"
  run -0 template-lock a -- true
}
