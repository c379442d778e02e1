#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The main flow: a snapshot becomes a template with forks, and everything is deleted again.
# shellcheck disable=SC2154 # stderr and spawned_pid are set by run and the helpers

load helpers

setup() {
  require_root
}

teardown() {
  drop_store
}

# From import to delete: every page of three forks is served at once and compared with the file.
@test "XFS: three forks of a template read every page, and delete leaves nothing" {
  make_store xfs
  run -0 --separate-stderr snapfork import base --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  assert_equal "$output" ''
  run -0 snapshot-meta state base
  assert_equal "$output" Standby
  run -0 --separate-stderr snapfork promote base
  run -0 snapshot-meta state base
  assert_equal "$output" Template

  run -0 --separate-stderr snapfork fork --backend uffd -n 3 base
  local ids sockets=() path
  mapfile -t ids < <(field .id)
  ((${#ids[@]} == 3))
  [[ ${ids[0]} =~ ^base-[a-z]{6}$ ]]
  assert_equal "$(field '[.type, .v, .template, .source, .backend, .needs_run] | @csv' | uniq)" \
    '"fork",1,"base","base","uffd",false'
  assert_equal "$(field .clone.bytes_copied | uniq)" 0
  for path in $(field .snapshot_load.mem_backend.backend_path); do
    [[ -S $path ]]
    sockets+=(--socket "$path")
  done
  # One inode, and so one page cache for all forks.
  assert_equal "$(stat -c %h "$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory")" 4

  run -0 uffd-probe "${sockets[@]}" --mem "$SNAPSHOT/memory" --deadline 60 --json
  assert_equal "$(field 'select(.type == "summary") | [.good_vmms, .wrong_pages, .touched] | @csv')" \
    "3,0,$((3 * 32768))"

  run -1 --separate-stderr snapfork delete base
  local id
  for id in "${ids[@]}"; do assert_contains "$stderr" "$id"; done
  run -1 --separate-stderr snapfork demote base
  run -0 snapfork -q delete "${ids[@]}"
  run -0 snapfork -q demote base
  run -0 snapshot-meta state base
  assert_equal "$output" Standby
  run -0 snapfork -q delete base
  assert_nothing_left
}

fork_and_delete_on() { # <filesystem> <how a disk is cloned>
  make_store "$1"
  make_template
  run -0 --separate-stderr snapfork fork --backend uffd base a
  assert_equal "$(field .clone.method)" "$2"
  run -0 uffd-probe --socket "$(field .uffd_socket_path)" --mem "$SNAPSHOT/memory" --json --pages 12000
  assert_equal "$(field 'select(.type == "probe") | [.wrong_pages, .touched] | @csv')" '0,12000'
  run -1 --separate-stderr snapfork delete base
  assert_contains "$stderr" 'a'
  snapfork -q delete a base
  assert_nothing_left
}

@test "btrfs: a fork reads every page, its template is guarded, and delete leaves nothing" {
  fork_and_delete_on btrfs reflink
}

@test "ext4: a fork reads every page, its template is guarded, and delete leaves nothing" {
  fork_and_delete_on ext4 copy
}

@test "tmpfs: a fork reads every page, its template is guarded, and delete leaves nothing" {
  fork_and_delete_on tmpfs copy
}

@test "fork of an ordinary snapshot has no link to it" {
  make_store xfs
  snapfork -q import s --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  run -0 --separate-stderr snapfork fork --backend file s a
  assert_equal "$(field '[.template, .snapshot_load.mem_backend.backend_type] | @csv')" ',"File"'
  snapfork -q delete s
  cmp "$SNAPSHOT/memory" "$SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/memory"
  snapfork -q delete a
  assert_nothing_left
  [[ ! -e $BATS_TEST_TMPDIR/run/p.sock ]] # no command needed a page server
}

# Prints the number of demand faults of a VMM that repeats the accesses of a guest.
faults_of_work() { # <socket>
  uffd-probe --socket "$1" --mem "$SNAPSHOT/memory" --json --pattern "trace:$FIXTURE/trace-work-1.txt" \
    | jq 'select(.type == "probe") | .faults'
}

@test "fork refuses a trace that cannot be written before it makes the fork" {
  make_store xfs
  make_template
  mkfifo pipe
  mkdir dir
  run -5 --separate-stderr snapfork fork --backend uffd --trace missing/trace base a
  assert_contains "$stderr" "cannot write trace 'missing/trace': the directory 'missing' does not exist"
  run -5 snapfork fork --dry-run --trace missing/trace base a
  run -4 snapfork fork --backend uffd --trace pipe base a
  run -4 snapfork fork --backend uffd --trace dir base a
  run -2 snapfork fork --backend uffd --trace - base a
  [[ ! -e $SNAPFORK_ROOT/guests/a ]]
  no_pager
}

@test "fork --trace writes a trace, and a hot list made from it is used in each later session" {
  make_store xfs
  make_template
  run -0 --separate-stderr snapfork fork --backend uffd --trace first.trace base a
  local first second
  first=$(faults_of_work "$(field .uffd_socket_path)")
  ((first > 1900))
  snapfork -q delete a
  hotpage-record record first.trace | snapshot-meta install-list base -
  run -0 --separate-stderr snapfork fork --backend uffd base b
  second=$(faults_of_work "$(field .uffd_socket_path)")
  ((second < first / 2)) || fail "$second faults with the list, $first without"
  snapfork -q delete b base
  assert_nothing_left
}

@test "fork without --backend: the file, or the page server for memory in 2 MiB pages and for a trace" {
  make_store xfs
  make_template
  run -0 snapfork -q fork base small
  assert_equal "$(field '[.backend, .backend_reason, .session_id] | @json')" '["file","its memory is a local file",null]'
  [[ ! -e $SNAPFORK_PAGER ]]
  run -0 snapfork -q fork --trace "$BATS_TEST_TMPDIR/trace" base traced
  assert_equal "$(field .backend)" uffd
  "$HELPERS/write-vmstate" "$BATS_TEST_TMPDIR/state" 10.0.0 2 huge-pages=2M
  head -c 2M /dev/urandom >"$BATS_TEST_TMPDIR/memory"
  snapfork -q import huge --state "$BATS_TEST_TMPDIR/state" --memory "$BATS_TEST_TMPDIR/memory"
  snapfork -q promote huge
  run -0 snapfork -q fork huge large
  assert_equal "$(field '[.backend, .backend_reason] | @json')" '["uffd","its memory has 2 MiB pages"]'
  [[ -S $(field .uffd_socket_path) ]]
  # The sockets of its session would have too long a path: nothing is left of the fork.
  SNAPFORK_PAGER=$BATS_TEST_TMPDIR/$(printf 'r%.0s' {1..100})/p.sock run -2 --separate-stderr snapfork -q fork huge other
  assert_contains "$stderr" 107
  [[ ! -e $SNAPFORK_ROOT/guests/other ]]
  assert_equal "$(snapshot-meta forks huge)" large
}
