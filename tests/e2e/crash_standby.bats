#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kill -9 of a standby, and of its verbs at each system call that writes: the guest has its old snapshot or the new one, with
# the record of the disks that belongs to it.
# shellcheck disable=SC2154,SC2153 # variables of the helpers

load helpers
load crash_helpers
load small_guest
load ../fake_firecracker
load ../standby_guest

setup() {
  require_root
  require_cmd strace
  make_small_store
  set +T # the trace of bats takes longer than the programs
}

teardown() {
  fake_kill_all
  drop_store
}

# As a guest that ran, wrote to its disk, and whose VMM wrote a snapshot.
with_new_snapshot() {
  local tmp=$SNAPFORK_ROOT/.snapfork/tmp/standby.g
  restore_store
  mkdir -m 700 "$tmp"
  cp --reflink=always "$NEW/state" "$NEW/memory" "$tmp"
  printf 'new' >"$SNAPFORK_ROOT/guests/g/disk.raw"
}

# Sets `has` to old or new; fails unless the files of the snapshot are all of one of them.
which_snapshot() {
  local latest=$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest source=$SOURCE
  has=old
  if cmp -s "$latest/memory" "$NEW/memory"; then has=new source=$NEW; fi
  cmp "$latest/memory" "$source/memory" && cmp "$latest/state" "$source/state" && [[ $(<"$latest/config.json") == '{}' ]]
}

snapshot_is_one_of_both() {
  local has expected=Stale has_before
  which_snapshot || fail "mixed: $has" || return
  [[ $has == old ]] || expected=Standby
  [[ $(snapshot-meta state g) == "$expected" ]] || fail "$has: $(snapshot-meta state g 2>&1)" || return
  has_before=$has
  if [[ $has == new ]]; then
    # The old snapshot is never published in place of the new one.
    ! snapshot-meta standby-publish g 2>/dev/null || fail 'published twice' || return
  fi
  snapshot-meta fsck --repair >/dev/null && snapshot-meta fsck || return
  which_snapshot && [[ $has == "$has_before" && $(snapshot-meta state g) == "$expected" ]] || fail "after fsck: $has" || return
  [[ -z $(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1) ]] || fail leftovers || return
  [[ $has == old ]] || [[ $(snapshot-meta get g snapfork.vmm.version) == 1.16.1 ]] || fail 'no VMM' || return
  ! grep -q snapshot_inode "$SNAPFORK_ROOT/guests/g/metadata.json"
}

@test "standby-publish killed at each write: the old snapshot or the new one is whole" {
  at_each_call with_new_snapshot snapshot_is_one_of_both snapshot-meta standby-publish --vmm-version 1.16.1 g
}

# After the exchange, before the metadata are written again.
with_killed_publish() {
  local status=0
  with_new_snapshot
  strace -f -qq -o /dev/null -e trace=renameat2,fsync -e "inject=fsync:signal=SIGKILL:when=8" -- \
    snapshot-meta standby-publish --vmm-version 1.16.1 g >/dev/null 2>&1 || status=$?
  ((status == 137))
}

@test "standby-end killed at each write, after a publish that was killed: nothing is lost" {
  at_each_call with_killed_publish snapshot_is_one_of_both snapshot-meta standby-end g
}

# Recorded in another PID namespace than the program's, so the guest is Running.
with_running_guest() {
  restore_store
  snapshot-meta run-begin --pid "$BASHPID" g
}

begin_is_understood() {
  local has
  which_snapshot && [[ $has == old && $(snapshot-meta state g) == Running ]] || fail "$has" || return
  snapshot-meta standby-begin g >/dev/null && snapshot-meta standby-end g || return
  [[ -z $(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1) ]]
}

@test "standby-begin killed at each write: the next one begins anew" {
  at_each_call with_running_guest begin_is_understood snapshot-meta standby-begin g
}

# A guest with a VMM that is a test double.
with_vmm() {
  fake_kill_all
  fake_pid=()
  restore_store
  run_guest g
}

# The VMM lives and the next standby succeeds, or the guest has its new snapshot.
standby_is_understood() {
  local latest=$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest
  mkdir -p "$BATS_TEST_TMPDIR/g"
  cp "$SOURCE/memory" "$BATS_TEST_TMPDIR/g/memory"
  if kill -0 "${fake_pid[g]}" 2>/dev/null && fake_api g GET / >/dev/null 2>&1; then
    [[ $(snapshot-meta state -q g) == Running ]] || fail "state: $(snapshot-meta state g 2>&1)" || return
    cmp -s "$latest/memory" "$SOURCE/memory" || guest_worked g >/dev/null || guest_worked g '' 2 || fail 'mixed' || return
    snapfork -q standby g || fail 'the next standby' || return
  fi
  [[ $(snapshot-meta state -q g) == Standby ]] || fail "state: $(snapshot-meta state g 2>&1)" || return
  # A guest that was paused in vain works once more when it is resumed.
  guest_worked g >/dev/null || guest_worked g '' 2 || fail 'mixed' || return
  snapshot-meta verify g >/dev/null || return
  snapshot-meta fsck --repair >/dev/null && snapshot-meta fsck
}

@test "standby whose driver is killed at each step: the VMM lives, or the new snapshot is published" {
  make_stand_ins
  at_each_step with_vmm standby_is_understood snapfork standby g
}

@test "standby killed at each call of each program: the VMM lives, or the new snapshot is published" {
  make_stand_ins
  KILL_ALL=1 at_each_place with_vmm standby_is_understood snapfork standby g
}

@test "standby one of whose programs is killed at each of its calls: the guest is resumed, or in standby" {
  make_stand_ins
  at_each_place with_vmm standby_is_understood snapfork standby g
}

# A guest that `snapfork restore` runs, without its fork of the last round.
with_restored_guest() {
  snapfork -q stop g 2>/dev/null || true
  restore_store
  FAKE_WORK=$WORK_PAGES snapfork -q restore --firecracker "$HELPERS/fake-firecracker" g >/dev/null
}

source_answers() {
  fc-api "$(snapshot-meta get g snapfork.api_socket)" GET / >/dev/null 2>&1
}

# The source runs, or is in standby and can be restored; the fork is whole, or absent.
from_running_is_understood() {
  local state
  mkdir -p "$BATS_TEST_TMPDIR/g"
  cp "$SOURCE/memory" "$BATS_TEST_TMPDIR/g/memory"
  state=$(snapshot-meta state -q g)
  case $state in
    Running) source_answers || fail 'Running without a VMM' || return ;;
    Standby)
      guest_worked g || return
      snapfork -q restore --firecracker "$HELPERS/fake-firecracker" g >/dev/null || return
      ;;
    *) fail "state of g: $state" || return ;;
  esac
  snapshot-meta fsck --repair >/dev/null && snapshot-meta fsck || return
  if [[ -e $SNAPFORK_ROOT/guests/h ]]; then
    [[ $(snapshot-meta state -q h) == Standby ]] && snapshot-meta verify h >/dev/null || fail 'the fork is not whole' || return
  fi
  snapfork -q stop g
}

@test "fork --from-running whose driver is killed at each step: the source runs or can be restored" {
  make_stand_ins
  at_each_step with_restored_guest from_running_is_understood snapfork fork --from-running --backend file g h
}
