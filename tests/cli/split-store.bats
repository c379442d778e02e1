#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A store whose parts are under different mount points, or in different subvolumes, of one filesystem:
# link(2) and rename(2) fail with EXDEV there. snapfork refuses such a store with exit status 3 and the reason.
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run

load helpers
load ../mounts

setup() {
  common_setup
  require_root
}

teardown() {
  unmount_all
  common_teardown
}

refuses_to_import() { # <reason>
  run --separate-stderr -3 template-lock base -- true
  assert_contains "$stderr" "$1"
  run --separate-stderr -3 template-lock --json base -- true
  assert_equal "$(json '[.exit_code, .code] | @csv')" '3,"unsupported"'
  local plain=$BATS_TEST_DIRNAME/../fixtures/plain
  truncate -s "$(($(snapshot-meta vmstate --json "$plain/state" | jq .mem_size_mib) << 20))" memory
  run --separate-stderr -3 snapfork import base --state "$plain/state" --memory memory
  assert_contains "$stderr" "$1"
  assert_equal "$(find "$SNAPFORK_ROOT/guests" "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
}

@test "refuses a store whose guests/ is a bind mount from the same filesystem" {
  mkdir elsewhere
  mount --bind elsewhere "$SNAPFORK_ROOT/guests" || skip 'cannot mount here'
  mounted_dirs+=("$SNAPFORK_ROOT/guests")
  refuses_to_import 'they are on one filesystem, but under different mount points; make them plain directories of one mount'
}

@test "refuses a store whose guests/ is a subvolume of btrfs" {
  require_cmd mkfs.btrfs
  mount_fs btrfs "$BATS_TEST_TMPDIR/btrfs" 400
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/btrfs/store
  mkdir "$SNAPFORK_ROOT"
  btrfs -q subvolume create "$SNAPFORK_ROOT/guests"
  refuses_to_import 'they are in different subvolumes; make them plain directories of one mount'
}

@test "refuses a store whose guests/ is another filesystem" {
  mount_fs tmpfs "$SNAPFORK_ROOT/guests" 10
  refuses_to_import 'they are on different filesystems; make them plain directories of one mount'
}
