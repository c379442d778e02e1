#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Forks of a guest with drives and a vsock open their own, whoever loads them.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers
load drive_helpers

setup() { flow_setup; }
teardown() { stop_everything; }

@test "three forks at once write to their own drives and have their own vsock" {
  make_template "$BATS_TEST_TMPDIR/machine"
  fork_guests -n 3 base
  # The source's files are replaced and removed before the forks are loaded.
  cp "$machine/root.img" "$machine/new"
  mv "$machine/new" "$machine/root.img"
  mv "$machine/data.img" "$BATS_TEST_TMPDIR"
  local vm
  for vm in "${forks[@]}"; do
    [[ $(fork_record "$vm" .needs_run) == false ]]
    # One is loaded with the request of its record, without the driver.
    if [[ $vm == "${forks[2]}" ]]; then restore_fork "$vm"; else restore_fork_in_run "$vm"; fi
    opens_only_its_own_files "$vm" "${vm_pid[$vm]}"
    writes_to_its_own_drives "$vm"
    vm_pause "$vm"
  done
  for vm in "${forks[@]}"; do
    vm_resume "$vm"
    has_its_own_drives "$vm"
    vm_pause "$vm"
  done
  mv "$BATS_TEST_TMPDIR/data.img" "$machine"
  source_is_unchanged
  run -1 snapfork delete "${forks[0]}"
  [[ $output == *"${vm_pid[${forks[0]}]}"* ]]
  vm_kill "${forks[@]}"
  snapfork delete "${forks[@]}" base
  rm -r "$machine"
  nothing_is_left
}

@test "fork runs twice, from the page server and then from its file, although its VMM was killed" {
  make_template "$BATS_TEST_TMPDIR/other/guests/source"
  fork_guests base a
  restore_fork_in_run a
  [[ $(<"$(vm_dir a)/load.json") == *'"Uffd"'* ]]
  opens_only_its_own_files a "${vm_pid[a]}"
  writes_to_its_own_drives a
  vm_kill a
  [[ -S $SNAPFORK_ROOT/guests/a/vsock.sock ]] # which a load would find in use
  run -1 snapfork run a -- true               # it wrote to its drives
  [[ $output == *'it is Stale'* ]]
  restore_fork_in_run a --force
  [[ $(<"$(vm_dir a)/load.json") == *'"File"'* ]]
  opens_only_its_own_files a "${vm_pid[a]}"
  has_its_own_drives a
  [[ $(vm_ask a sum) == "$sum" ]]
  source_is_unchanged
  snapfork delete --stop a
  vm_kill a
  snapfork delete base
  rm -r "$BATS_TEST_TMPDIR/other"
  nothing_is_left
}

@test "two forks at once of a guest with relative paths open their own files, in any working directory" {
  local prefix vm
  for prefix in '' ./; do
    make_template "$BATS_TEST_TMPDIR/machine" "$prefix"
    fork_guests --backend file -n 2 base
    cd "$machine" # where the relative paths lead to the files of the source
    for vm in "${forks[@]}"; do
      restore_fork "$vm"
      opens_only_its_own_files "$vm" "${vm_pid[$vm]}"
      writes_to_its_own_drives "$vm"
    done
    for vm in "${forks[@]}"; do has_its_own_drives "$vm"; done
    vm_kill "${forks[@]}"
    cd "$BATS_TEST_TMPDIR"
    source_is_unchanged
    snapfork delete "${forks[@]}" base
    rm -r "$machine" "$BATS_TEST_TMPDIR/snapshot"
  done
  nothing_is_left
}

@test "fork of a fork, and a fork in a store that was moved, open their own files" {
  make_template "$BATS_TEST_TMPDIR/machine"
  fork_guests base a
  snapfork fork --backend file a b >/dev/null
  mv "$SNAPFORK_ROOT" "$BATS_TEST_TMPDIR/moved"
  before=${before//"$SNAPFORK_ROOT"/"$BATS_TEST_TMPDIR/moved"}
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/moved
  restore_fork_in_run b
  opens_only_its_own_files b "${vm_pid[b]}"
  writes_to_its_own_drives b
  vm_kill b
  source_is_unchanged
  snapfork delete a b base
  rm -r "$machine"
  nothing_is_left
}

@test "fork whose directory has a long path has its vsock in the run directory" {
  local long
  long=$(printf 'l%.0s' {1..60})
  SNAPFORK_ROOT=$BATS_TEST_TMPDIR/$long
  run_dir=$(mktemp -d /tmp/snapfork-XXXXXX)
  export SNAPFORK_PAGER=$run_dir/p.sock
  mkdir "$SNAPFORK_ROOT"
  make_template "$BATS_TEST_TMPDIR/machine"
  fork_guests --backend file base a
  restore_fork_in_run a
  [[ -S $run_dir/v/$(snapshot-meta session-name a).sock && ! -e $SNAPFORK_ROOT/guests/a/vsock.sock ]]
  snapfork status
  vm_kill a
  snapfork delete a base
  [[ $(ls -A "$run_dir/v") == '' ]]
  rm -r "$machine" "$run_dir"
}
