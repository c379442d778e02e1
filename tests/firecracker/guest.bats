#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The guest and Firecracker's own File back end, which the other test files rely on.
# shellcheck disable=SC2154 # variables of the helpers

load helpers

setup() {
  require_firecracker
}

teardown() {
  vm_kill_all
}

@test "guest fills its memory and finds every page correct" {
  vm_boot a 128 'guest.seed=7 guest.zero=50'
  [[ $ready == 'READY pages=24576 devices=' ]]
  run -0 vm_ask a ping
  [[ $output == pong ]]
  run -0 vm_ask a sum
  [[ $output == 'sum OK pages=24576 zero=12272 ballooned=0 bad=0 '* ]]
  run -0 vm_ask a 'work 1 1000'
  [[ $output == 'work 1 OK '* ]]
  run -0 vm_ask a sum
  [[ $output == 'sum OK '* ]]
}

@test "result of the guest depends only on its memory" {
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50'
  local vm
  for vm in a b; do
    vm_restore "$vm" "$(load_from_files "$BATS_TEST_TMPDIR/snapshot"/{state,memory})"
    [[ $(vm_ask "$vm" sum) == "$sum" ]]
    vm_ask "$vm" 'work 1 2000' >>"$BATS_TEST_TMPDIR/answers"
    vm_kill "$vm"
  done
  run -0 uniq "$BATS_TEST_TMPDIR/answers"
  [[ $output == 'work 1 OK '* && ${#lines[@]} -eq 1 ]]
}

@test "guest finds one wrong bit, in pages with a pattern and in zero pages" {
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50'
  local page
  # Of the pages from 32 MiB on, these are one in a run of zeros, two with a pattern, and a single zero page.
  for page in 0 128 200 255; do
    printf '\1' | dd of="$BATS_TEST_TMPDIR/snapshot/memory" conv=notrunc status=none bs=1 \
      seek=$(((8192 + page) * 4096 + 8 * page))
  done
  vm_restore a "$(load_from_files "$BATS_TEST_TMPDIR/snapshot"/{state,memory})"
  run -0 vm_ask a sum
  [[ $output == 'sum BAD '*' bad=4 '* ]]
}
