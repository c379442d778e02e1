#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# After a power cut, what a command reported as done exists, and the next command handles what it was doing.
#
# The store is on a filesystem whose image is a file on XFS. A clone of that file is the disk after a power cut: it lacks what
# the filesystem has not written yet. (It contains what a real disk would have in its cache, so these tests find a missing
# flush of a file or directory, not a flush that a filesystem omits.)
# shellcheck disable=SC2154 # SNAPFORK_ROOT and others are set by the helpers

load helpers
load crash_helpers

setup() {
  require_root
  require_cmd losetup
  set +T # the trace of bats takes longer than the programs
}

teardown() {
  umount "$BATS_TEST_TMPDIR/cut" "$BATS_TEST_TMPDIR/disk" 2>/dev/null || true
  drop_store
}

# Makes an empty store on a filesystem of that type, in $BATS_TEST_TMPDIR/outer/disk.img.
make_store_on_disk() { # <xfs|ext4|btrfs>
  common_setup
  type=$1
  outer=$BATS_TEST_TMPDIR/outer
  mount_fs xfs "$outer" 1000
  make_image "$type" "$outer/disk.img" 300
  mkdir "$BATS_TEST_TMPDIR/disk" "$BATS_TEST_TMPDIR/cut"
  mount -o loop "$outer/disk.img" "$BATS_TEST_TMPDIR/disk" || skip "cannot mount $type"
  disk_store=$BATS_TEST_TMPDIR/disk/store
  export SNAPFORK_ROOT=$disk_store SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
  SOURCE=$BATS_TEST_TMPDIR/source
  mkdir "$SNAPFORK_ROOT" "$SOURCE"
  "$HELPERS/write-vmstate" "$SOURCE/state" 10.0.0 1
  { head -c 500000 /dev/urandom && head -c 548576 /dev/zero; } >"$SOURCE/memory"
  digest=$(sha256sum <"$SOURCE/memory")
  sync -f "$SNAPFORK_ROOT"
}

cut_power() { # <name>
  cp --reflink=always "$outer/disk.img" "$outer/$1.img"
}

# Runs a check in the store after the cut. The mount replays the journal. The original is unmounted first, because both have
# one UUID; a mount namespace of a concurrent test may keep it briefly, and the mount is refused until then.
after_cut() { # <name> <check...>
  local status=0 mounted=0
  if mountpoint -q "$BATS_TEST_TMPDIR/disk"; then
    mounted=1
    wait_until 10 umount "$BATS_TEST_TMPDIR/disk" 2>/dev/null || return # a killed process may still be exiting
  fi
  wait_until 20 mount -o loop "$outer/$1.img" "$BATS_TEST_TMPDIR/cut" 2>/dev/null || fail "cannot mount what the cut '$1' left" || return
  SNAPFORK_ROOT=$BATS_TEST_TMPDIR/cut/store
  "${@:2}" || fail "after the cut '$1': $(snapfork list 2>&1)" || status=1
  SNAPFORK_ROOT=$disk_store
  umount "$BATS_TEST_TMPDIR/cut"
  rm "$outer/$1.img"
  ((!mounted)) || wait_until 20 mount -o loop "$outer/disk.img" "$BATS_TEST_TMPDIR/disk" 2>/dev/null || return
  return "$status"
}

memory_is_whole() { # <id>
  [[ $(sha256sum <"$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory") == "$digest" ]]
}
# After a cut, names of a memory file that were just removed may exist again: fsck removes them.
is_standby() { # <id>
  snapshot-meta fsck --repair >/dev/null
  [[ $(snapshot-meta state "$1") == Standby ]] && snapshot-meta verify "$1" >/dev/null && memory_is_whole "$1"
}
is_template() { # <id>
  snapshot-meta fsck --repair >/dev/null
  [[ $(snapshot-meta state "$1") == Template ]] && snapshot-meta verify --deep "$1" >/dev/null && memory_is_whole "$1"
}
# Forks are counted before fsck could add them.
has_forks() { # <template> <id...>
  assert_equal "$(snapshot-meta forks "$1" | tr '\n' ' ')" "${*:2} " || return
  ! template-lock guard --for delete "$1" 2>/dev/null || return
  local fork
  for fork in "${@:2}"; do is_standby "$fork" || return; done
}
is_named() { # <id> <name>
  [[ $(snapshot-meta get "$1" Name) == "$2" ]]
}
is_mendable() {
  snapshot-meta fsck --repair >/dev/null && snapshot-meta fsck
}
# A fork without --durable is complete, or reported as Broken; it is counted in both cases, and can be deleted.
is_counted() { # <template> <fork>
  assert_equal "$(snapshot-meta forks "$1")" "$2" || return
  ! template-lock guard --for delete "$1" 2>/dev/null && is_template "$1" || return
  is_standby "$2" 2>/dev/null || [[ $(snapshot-meta state "$2" 2>/dev/null) == Broken ]] || return
  snapfork -q delete "$2" && snapfork -q demote "$1" && is_mendable
}

# The steps of a fork with flushed files.
fork_durably() { # <source> <new>
  # shellcheck disable=SC2016 # for the shell under the locks
  template-lock --shared "$1" --exclusive --no-wait "$2" -- bash -c 'set -e
    snapshot-meta fork-begin "$1" "$2" >/dev/null
    reflink-clone --durable --profile vm --memory=link --json "$SNAPFORK_ROOT/guests/$1" "$SNAPFORK_ROOT/.snapfork/tmp/fork.$2" \
      | snapshot-meta fork-publish "$1" "$2" --backend file --clone-report - >/dev/null' _ "$@"
}

reported_is_there() { # <filesystem>
  make_store_on_disk "$1"
  snapfork -q import base --state "$SOURCE/state" --memory "$SOURCE/memory"
  cut_power import
  snapshot-meta set base Name=new
  cut_power 'set'
  snapfork -q promote base
  cut_power promote
  snapfork -q fork --backend file base f >/dev/null
  cut_power fork
  snapfork -q delete f
  fork_durably base f1
  cut_power fork-1
  fork_durably base f2
  cut_power fork-2
  snapfork -q demote base 2>/dev/null || true # refused
  cut_power refused
  umount "$BATS_TEST_TMPDIR/disk"
  after_cut import is_standby base
  after_cut 'set' is_named base new
  after_cut promote is_template base
  after_cut fork is_counted base f
  after_cut fork-1 has_forks base f1
  after_cut fork-2 has_forks base f1 f2
  after_cut refused is_mendable
}

@test "XFS: results of import, set, promote and fork exist after a power cut" {
  reported_is_there xfs
}

@test "ext4: results of import, set, promote and fork exist after a power cut" {
  reported_is_there ext4
}

@test "btrfs: results of import, set, promote and fork exist after a power cut" {
  reported_is_there btrfs
}

nothing_to_prepare() { :; }

# The template is complete and counts every fork that exists, and fsck repairs what it finds. Then the fork is removed from the
# original disk.
cut_is_understood() {
  cut_power now
  after_cut now fork_is_counted_or_not_there || return
  [[ ! -e $SNAPFORK_ROOT/guests/f ]] || snapfork -q delete f || return
  snapshot-meta fsck --repair >/dev/null
}

fork_is_counted_or_not_there() {
  if [[ -e $SNAPFORK_ROOT/guests/f ]]; then is_counted base f; else is_template base && is_mendable; fi
}

cut_forks() { # <filesystem>
  make_store_on_disk "$1"
  make_stand_ins
  snapfork -q import base --state "$SOURCE/state" --memory "$SOURCE/memory"
  snapfork -q promote base
  sync -f "$SNAPFORK_ROOT"
  KILL_ALL=1 at_each_place nothing_to_prepare cut_is_understood snapfork fork --backend file base f
}

@test "XFS: after a power cut at each change of a fork, it is counted, or does not exist" {
  cut_forks xfs
}

@test "btrfs: after a power cut at each change of a fork, it is counted, or does not exist" {
  cut_forks btrfs
}

back_to_standby() {
  rm -rf "$SNAPFORK_ROOT"/{guests,.snapfork}
  cp -a --reflink=always "$SNAPFORK_ROOT"/../pristine/. "$SNAPFORK_ROOT"
  sync -f "$SNAPFORK_ROOT"
}

promotion_is_whole_or_not_there() {
  case $(snapshot-meta state base) in
    Template) is_template base ;;
    Standby) is_standby base ;;
    *) false ;;
  esac && is_mendable
}

promote_cut_is_understood() {
  cut_power now
  after_cut now promotion_is_whole_or_not_there
}

@test "after a power cut at each change of promote, the guest is a complete template, or unchanged" {
  make_store_on_disk xfs
  make_stand_ins
  snapfork -q import base --state "$SOURCE/state" --memory "$SOURCE/memory"
  cp -a --reflink=always "$SNAPFORK_ROOT" "$SNAPFORK_ROOT/../pristine"
  KILL_ALL=1 at_each_place back_to_standby promote_cut_is_understood snapfork promote base
}

# A new snapshot of the guest, as a VMM writes it: nothing of it is flushed.
with_new_snapshot() {
  local new=$SNAPFORK_ROOT/.snapfork/tmp/standby.base
  back_to_standby
  mkdir -m 700 "$new"
  cp "$SOURCE/state" "$new/state"
  tr '\0' 'n' <"$SOURCE/memory" >"$new/memory"
}

old_or_new_is_whole() {
  [[ $(sha256sum <"$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory") != "$new_digest" ]] || local digest=$new_digest
  is_standby base && is_mendable
}

new_is_whole() {
  local digest=$new_digest
  is_standby base && is_mendable
}

standby_cut_is_understood() {
  cut_power now
  after_cut now old_or_new_is_whole
}

@test "after a power cut at each change of standby-publish, the guest has its old snapshot or the new one" {
  make_store_on_disk xfs
  make_stand_ins
  snapfork -q import base --state "$SOURCE/state" --memory "$SOURCE/memory"
  cp -a --reflink=always "$SNAPFORK_ROOT" "$SNAPFORK_ROOT/../pristine"
  new_digest=$(tr '\0' 'n' <"$SOURCE/memory" | sha256sum)
  with_new_snapshot
  snapshot-meta standby-publish base
  cut_power published
  after_cut published new_is_whole
  KILL_ALL=1 at_each_place with_new_snapshot standby_cut_is_understood snapshot-meta standby-publish base
}
