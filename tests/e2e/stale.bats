#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A guest whose disks changed after its snapshot was published is Stale: its memory and its disks do not belong together.
# shellcheck disable=SC2154 # stderr is set by run

load helpers

setup() {
  require_root
}

teardown() {
  drop_store
}

# Makes a guest `base` with one disk of 1 MiB.
import_base() { # <filesystem>
  make_store "$1"
  "$HELPERS/write-vmstate" "$BATS_TEST_TMPDIR/state" 10.0.0 2 drive=/srv/vm/root.ext4
  head -c 2M /dev/urandom >"$BATS_TEST_TMPDIR/memory"
  truncate -s 1M "$BATS_TEST_TMPDIR/root.ext4"
  snapfork -q import base --state "$BATS_TEST_TMPDIR/state" --memory "$BATS_TEST_TMPDIR/memory" \
    --disk "$BATS_TEST_TMPDIR/root.ext4=/srv/vm/root.ext4"
}

disk_of() { # <id>
  printf '%s' "$SNAPFORK_ROOT/guests/$1/root.ext4"
}

# Writes as a VMM that was started by hand and is not recorded.
write_to_disk_of() { # <id>
  printf 'the guest wrote' | dd of="$(disk_of "$1")" conv=notrunc bs=4096 seek=3 status=none
}

assert_state() { # <id> <state>
  run -0 --separate-stderr snapshot-meta state "$1"
  assert_equal "$output" "$2"
}

# Checks that a command names the disk and is refused, and works with --force.
refuses_without_force() { # <command>...
  run -1 --separate-stderr "$@"
  assert_contains "$stderr" "it is Stale: its disk 'root.ext4' was written after the snapshot was published"
  assert_contains "$stderr" "or if they do belong together, run 'snapshot-meta accept "
}

stale_on() { # <filesystem>
  import_base "$1"
  assert_state base Standby
  snapfork -q promote base
  snapfork -q fork --backend file -n 2 base | jq -r .id >"$BATS_TEST_TMPDIR/ids"
  local a b
  { read -r a && read -r b; } <"$BATS_TEST_TMPDIR/ids"
  assert_state "$a" Standby
  # A VM that only reads does not change the state.
  snapfork run "$a" -- cat "$(disk_of "$a")" >/dev/null
  assert_state "$a" Standby
  # The VM wrote to its disk and was killed.
  # shellcheck disable=SC2016 # for the shell in there
  run -137 snapfork run "$a" -- sh -c 'echo x | dd of="$0" conv=notrunc status=none; kill -9 $$' "$(disk_of "$a")"
  assert_state "$a" Stale
  assert_contains "$stderr" "its disk 'root.ext4' was written after the snapshot was published"
  run -1 --separate-stderr snapshot-meta verify "$a"
  assert_contains "$stderr" "its disk 'root.ext4' was written after"
  assert_equal "$(snapshot-meta list --state stale --json | jq -r '[.id, .state] | join(" ")')" "$a Stale"
  # The other VM was loaded without run.
  write_to_disk_of "$b"
  assert_state "$b" Stale

  refuses_without_force snapfork run "$a" -- touch "$BATS_TEST_TMPDIR/ran"
  [[ ! -e $BATS_TEST_TMPDIR/ran ]]
  refuses_without_force snapfork fork --backend file "$a" c
  run -1 --separate-stderr snapfork promote "$a"
  assert_contains "$stderr" "its disk 'root.ext4' was written after"
  refuses_without_force snapshot-meta promote "$a"
  refuses_without_force snapshot-meta fork-begin "$a" c
  refuses_without_force snapshot-meta run-begin "$a"
  assert_equal "$(store_listing | grep -c '/c ')" 0
  assert_state "$a" Stale

  run -0 snapfork run --force "$a" -- touch "$BATS_TEST_TMPDIR/ran"
  [[ -e $BATS_TEST_TMPDIR/ran ]]
  # --force declared that memory and disk of the fork belong together.
  snapfork -q fork --force --backend file "$a" c >/dev/null
  assert_state c Standby
  snapfork -q promote --force c
  assert_state c Template
  snapfork -q fork --backend file c d >/dev/null
  assert_state d Standby

  # A restored backup has the right bytes and other times.
  snapshot-meta accept "$b"
  assert_state "$b" Standby
  snapshot-meta verify "$b"
  snapfork -q fork --backend file "$b" e >/dev/null
  assert_state e Standby
  # A Stale guest can be deleted.
  write_to_disk_of e
  snapfork -q delete d c "$a" "$b" e base
  assert_nothing_left
}

@test "XFS: fork whose disk changed is Stale, and run, fork and promote need --force, delete does not" {
  stale_on xfs
}

@test "ext4, where disks are copied: only a fork whose disk changed is Stale" {
  stale_on ext4
}

@test "template whose disk changed is Stale and needs --force to fork, until accept" {
  import_base xfs
  snapfork -q promote base
  write_to_disk_of base
  assert_state base Stale
  refuses_without_force snapfork fork --backend file base f
  # It is still a template.
  run -1 --separate-stderr snapfork run --force base -- true
  assert_contains "$stderr" 'it is a template'
  run -1 --separate-stderr snapfork promote --force base
  assert_contains "$stderr" "its state is Template"
  snapfork -q fork --force --backend file base f >/dev/null
  assert_equal "$(stat -c %h "$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory")" 2
  run -1 snapfork delete base
  snapshot-meta accept base
  assert_state base Template
  snapfork -q delete f base
}

@test "guest with records without times, and guest without disks, are never Stale" {
  import_base xfs
  snapshot-meta set base 'snapfork.disks:=[{"file":"root.ext4","embedded_path":"/srv/vm/root.ext4","bytes":1048576}]'
  write_to_disk_of base
  assert_state base Standby
  snapshot-meta unset base snapfork
  write_to_disk_of base
  assert_state base Standby
  run -0 snapshot-meta accept base
  assert_state base Standby
}

@test "accept is refused while the guest runs or a disk is missing, and --dry-run changes nothing" {
  import_base xfs
  write_to_disk_of base
  run -0 --separate-stderr snapshot-meta accept --dry-run base
  assert_contains "$output" "would record the disks of 'base' as they are"
  assert_state base Stale
  exec {disk}<>"$(disk_of base)"
  run -1 --separate-stderr snapshot-meta accept base
  assert_contains "$stderr" 'it is Running'
  exec {disk}>&-
  rm "$(disk_of base)"
  assert_state base Stale
  assert_contains "$stderr" "its disk 'root.ext4' is missing"
  run -1 --separate-stderr snapshot-meta accept base
  assert_contains "$stderr" "'root.ext4' is missing"
}
