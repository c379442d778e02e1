#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork record: a scratch fork is recorded, its list is installed, and nothing else is left.
# shellcheck disable=SC2154 # output, stderr and lines are set by run

setup() {
  load helpers
  load snapshot-meta_helpers
  common_setup
  require_root
  require_userfaultfd
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
}
teardown() { common_teardown; }

@test "snapfork record installs the list of a scratch fork, and deletes the fork" {
  init_template base
  run --separate-stderr -0 snapfork record --firecracker "$HELPERS/fake-firecracker" --seconds 3 base
  assert_contains "$stderr" "recorded the hot pages of 'base'"
  hotpage-record stat "$(guest_dir base)/template/hot.hpl" >/dev/null
  assert_equal "$(hotpage-record stat --json "$(guest_dir base)/template/hot.hpl2" | jq .exact)" true
  assert_equal "$(ls "$SNAPFORK_ROOT/guests")" base
  assert_equal "$(find run -name 'record.*')" ''
}

@test "snapfork record refuses a guest that is neither a template nor a fork, and --dry-run changes nothing" {
  init_guest plain
  run --separate-stderr -1 snapfork record plain
  assert_contains "$stderr" "cannot record 'plain': it is neither a template nor a fork of one"
  init_template base
  run --separate-stderr -0 snapfork --dry-run record base
  assert_contains "$output" 'snapshot-meta install-list base'
  assert_equal "$(cd "$SNAPFORK_ROOT/guests" && echo *)" 'base plain'
}
