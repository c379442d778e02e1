#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Guests with 2 MiB pages, which Firecracker restores only from a page server.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers
load run_helpers
load ../huge_pages

setup() { flow_setup; }
teardown() {
  stop_everything
  return_huge_pages
}

@test "forks with 2 MiB pages read every page" {
  borrow_huge_pages 96
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50' \
    '{"machine-config": {"vcpu_count": 1, "mem_size_mib": 96, "huge_pages": "2M"}}'
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" \
    --memory "$BATS_TEST_TMPDIR/snapshot/memory"
  snapfork promote base
  fork_guests -n 2 base
  local vm
  for vm in "${forks[@]}"; do
    restore_fork "$vm"
    [[ $(vm_ask "$vm" sum) == "$sum" ]]
    vm_pause "$vm"
    [[ $(session "$vm" '.regions[0].page_size') == 2097152 ]]
  done
  vm_kill "${forks[@]}"
  snapfork delete "${forks[@]}" base
  nothing_is_left
}

@test "a fork with 2 MiB pages goes to standby and continues, and is forked while it runs" {
  borrow_huge_pages 96
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50' \
    '{"machine-config": {"vcpu_count": 1, "mem_size_mib": 96, "huge_pages": "2M"}}'
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" \
    --memory "$BATS_TEST_TMPDIR/snapshot/memory"
  snapfork promote base
  firecracker_options
  fork_guests base a
  run_fork a
  guest_answers a 'work 1 500'
  local sum
  sum=$(guest_answers a sum)
  snapfork standby a
  run_fork a
  [[ $(run_record a .backend) == uffd && $(guest_answers a sum) == "$sum" ]]
  snapfork fork --from-running a b >"$BATS_TEST_TMPDIR/forks"
  [[ $(guest_answers a sum) == "$sum" ]]
  snapfork stop a
  restore_fork b
  [[ $(vm_ask b sum) == "$sum" ]]
  vm_kill b
  snapfork delete a b base
  nothing_is_left
}
