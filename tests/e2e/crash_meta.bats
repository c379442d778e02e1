#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kill -9 of promote, demote and the verbs of snapshot-meta at each system call that writes: the next command handles
# what is left, and fsck can repair everything that it finds.
# shellcheck disable=SC2154 # SNAPSHOT and others are set by the helpers

load helpers
load crash_helpers

setup() {
  require_root
  require_cmd strace
  make_small_store
  set +T # the trace of bats takes longer than the programs
}

teardown() {
  drop_store
}

# Makes a guest `g` of 1 MiB, the fork `f` of a template `base`, and a copy of all in $BATS_TEST_TMPDIR/fs/pristine.
make_small_store() {
  common_setup
  mount_fs xfs "$BATS_TEST_TMPDIR/fs" 300
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/store SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
  SOURCE=$BATS_TEST_TMPDIR/fs/source
  mkdir "$SNAPFORK_ROOT" "$SOURCE"
  "$HELPERS/write-vmstate" "$SOURCE/state" 10.0.0 1 drive=/srv/a/disk.raw vsock=/srv/a/v.sock
  { head -c 300000 /dev/urandom && head -c 200000 /dev/zero && head -c 548576 /dev/urandom; } >"$SOURCE/memory"
  digest=$(sha256sum <"$SOURCE/memory")
  echo disk >"$SOURCE/disk.raw"
  local id
  for id in g base; do
    snapfork -q import "$id" --state "$SOURCE/state" --memory "$SOURCE/memory" --disk "$SOURCE/disk.raw=/srv/a/disk.raw"
  done
  snapfork -q promote base
  snapfork -q fork --backend file base f >/dev/null
  keep_as_pristine
}

keep_as_pristine() {
  rm -rf "$BATS_TEST_TMPDIR/fs/pristine"
  cp -a --reflink=always "$SNAPFORK_ROOT" "$BATS_TEST_TMPDIR/fs/pristine"
}

restore_store() {
  rm -rf "$SNAPFORK_ROOT"
  cp -a --reflink=always "$BATS_TEST_TMPDIR/fs/pristine" "$SNAPFORK_ROOT"
}

# Other files did not change, and fsck repairs what it finds.
others_are_as_before() {
  [[ $(snapshot-meta state base) == Template && $(snapshot-meta forks base) == f ]] || fail "base: $(snapfork list)" || return
  [[ $(sha256sum <"$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory") == "$digest" ]] || fail 'base changed' || return
  snapshot-meta fsck --repair >"$BATS_TEST_TMPDIR/mended" || fail "fsck: $(<"$BATS_TEST_TMPDIR/mended")" || return
  snapshot-meta fsck >"$BATS_TEST_TMPDIR/left" || fail "fsck finds its own work: $(<"$BATS_TEST_TMPDIR/left")"
}

memory_is_whole() {
  [[ $(sha256sum <"$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/memory") == "$digest" ]] || fail 'g changed'
}

# The guest is in Standby as before, or a complete template from which forks can be made.
promote_is_understood() {
  local state
  state=$(snapshot-meta state g)
  [[ $state == Standby || $state == Template ]] || fail "state of g: $state" || return
  memory_is_whole && others_are_as_before || return
  [[ $(snapshot-meta state g) == "$state" ]] || fail 'fsck has changed the state' || return
  [[ $state == Template ]] || snapfork -q promote g || return
  snapshot-meta verify --deep g >/dev/null && snapfork -q fork --backend file g g1 >/dev/null || return
  snapfork -q delete g1 && snapfork -q demote g && [[ -w $SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/memory ]]
}

@test "promote killed at each call of each program: the guest is unchanged, or a template" {
  make_stand_ins
  KILL_ALL=1 at_each_place restore_store promote_is_understood snapfork promote g
}

@test "snapshot-meta promote killed at each write: the guest is unchanged, or a template" {
  template-lock seal g
  keep_as_pristine
  at_each_call restore_store promote_is_understood snapshot-meta promote g
}

demote_is_understood() {
  local state
  state=$(snapshot-meta state g)
  [[ $state == Standby || $state == Template ]] || fail "state of g: $state" || return
  memory_is_whole && others_are_as_before || return
  [[ $state == Standby ]] || snapfork -q demote g || return
  snapfork -q promote g && snapshot-meta verify --deep g >/dev/null && snapfork -q fork --backend file g g1 >/dev/null
}

@test "demote killed at each call of each program: a template, or an ordinary snapshot" {
  snapfork -q promote g
  keep_as_pristine
  make_stand_ins
  KILL_ALL=1 at_each_place restore_store demote_is_understood snapfork demote g
}

@test "snapshot-meta demote killed at each write: a template, or an ordinary snapshot" {
  snapfork -q promote g
  keep_as_pristine
  at_each_call restore_store demote_is_understood snapshot-meta demote g
}

set_is_understood() {
  local name
  name=$(snapshot-meta get g Name) || return
  [[ $name == g || $name == new ]] || fail "Name: $name" || return
  [[ $(snapshot-meta get g snapfork.fuzz 2>/dev/null) == 1.0 ]] || [[ $name == g ]] || fail 'half set' || return
  others_are_as_before && snapshot-meta set g Name=new snapfork.fuzz:=1.0 || return
  [[ $(snapshot-meta get g Name) == new ]]
}

@test "set killed at each write: the key is set or not, all others are unchanged" {
  at_each_call restore_store set_is_understood snapshot-meta set g Name=new snapfork.fuzz:=1.0
}

with_key_to_unset() {
  restore_store
  snapshot-meta set g snapfork.note:=1.0
}

# The key exists or not; all other keys are unchanged, byte for byte.
unset_is_understood() {
  others_are_as_before && snapshot-meta unset g snapfork.note || return
  ! snapshot-meta get g snapfork.note 2>/dev/null && [[ $(snapshot-meta get g Name) == g ]] && memory_is_whole
}

@test "unset killed at each write: the key exists or not, all others are unchanged" {
  at_each_call with_key_to_unset unset_is_understood snapshot-meta unset g snapfork.note
}

init_inputs() {
  restore_store
  rm -rf "$SNAPFORK_ROOT"/../in && mkdir "$SNAPFORK_ROOT/../in"
  cp --reflink=always "$SOURCE/state" "$SOURCE/memory" "$SNAPFORK_ROOT/../in"
  printf 'disk\n' >"$SNAPFORK_ROOT/../in/disk.raw"
}

# The guest exists and is complete, and a remaining input is only another name of its file; or it does not exist, and
# the inputs do.
init_is_understood() {
  local in=$SNAPFORK_ROOT/../in
  others_are_as_before || return
  if [[ ! -e $SNAPFORK_ROOT/guests/n ]]; then
    snapshot-meta init n --state "$in/state" --memory "$in/memory" --disk "$in/disk.raw=/srv/a/disk.raw" || return
  fi
  rm -rf "$in"
  snapshot-meta verify n >/dev/null && [[ $(snapshot-meta state n) == Standby && -f $SNAPFORK_ROOT/guests/n/disk.raw ]] || return
  [[ $(sha256sum <"$SNAPFORK_ROOT/guests/n/snapshots/snapshot-latest/memory") == "$digest" ]] || return
  snapfork -q promote n && [[ $(stat -c %h "$SNAPFORK_ROOT/guests/n/snapshots/snapshot-latest/memory") == 1 ]]
}

@test "init killed at each write: a complete guest, or the inputs are unchanged" {
  local in=$SNAPFORK_ROOT/../in
  at_each_call init_inputs init_is_understood snapshot-meta init n --state "$in/state" --memory "$in/memory" \
    --disk "$in/disk.raw=/srv/a/disk.raw"
}

remove_rewritten() {
  rm -rf "$SOURCE/out" && mkdir "$SOURCE/out"
}

# The output is complete or absent, and the same command makes it; no temporary file stays.
rewrite_is_understood() {
  local call=(snapshot-meta rewrite-paths --from /srv/a --to /a/longer/place "$SOURCE/state" "$SOURCE/out/state")
  [[ -e $SOURCE/out/state ]] || "${call[@]}" >/dev/null || return
  snapshot-meta vmstate "$SOURCE/out/state" | grep -q '^drive: /a/longer/place/disk.raw' || return
  assert_equal "$(ls -A "$SOURCE/out")" state
}

@test "rewrite-paths killed at each write: the output is complete, or absent" {
  at_each_call remove_rewritten rewrite_is_understood \
    snapshot-meta rewrite-paths --from /srv/a --to /a/longer/place "$SOURCE/state" "$SOURCE/out/state"
}

# Makes one finding of each kind that fsck repairs.
break_store() {
  restore_store
  local guests=$SNAPFORK_ROOT/guests
  touch "$guests/base/template/forks/gone" "$guests/g/.metadata.json.snapfork-tmp"
  rm "$guests/base/template/forks/f"
  mkdir -p "$SNAPFORK_ROOT/.snapfork/tmp/fork.half" "$SNAPFORK_ROOT/.snapfork/trash/old"
  touch "$SNAPFORK_ROOT/.snapfork/tmp/fork.half/overlay.raw"
  printf '{"Id":"old"}' >"$SNAPFORK_ROOT/.snapfork/trash/old/metadata.json"
  printf '{"Id":' >"$guests/g/metadata.json"
}

# The next fsck finishes; then the store is as it was before the damage, and the template has its fork.
fsck_is_understood() {
  local refused=0
  snapshot-meta fsck --repair >/dev/null || return
  others_are_as_before && memory_is_whole && [[ $(snapshot-meta state g) == Standby ]] || return
  [[ $(find "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1) == '' ]] || fail 'leftovers' || return
  snapfork -q delete base 2>/dev/null || refused=$?
  ((refused == 1)) || fail "delete base: $refused"
}

@test "fsck --repair killed at each write: the next one finishes" {
  at_each_call break_store fsck_is_understood snapshot-meta fsck --repair
}
