# SPDX-License-Identifier: Apache-2.0
# small_guest.bash: a store with one small guest, for tests that run a flow many times.
# shellcheck shell=bash disable=SC2034 # variables for the tests

# Makes a guest `g` of 1 MiB with a disk, a new snapshot of it in $NEW, and a copy of all in $BATS_TEST_TMPDIR/fs/pristine.
make_small_store() {
  common_setup
  mount_fs xfs "$BATS_TEST_TMPDIR/fs" 300
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/store SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
  SOURCE=$BATS_TEST_TMPDIR/fs/source NEW=$BATS_TEST_TMPDIR/fs/new
  mkdir "$SNAPFORK_ROOT" "$SOURCE" "$NEW"
  "$HELPERS/write-vmstate" "$SOURCE/state" 10.0.0 1 drive="$SNAPFORK_ROOT/guests/g/disk.raw"
  "$HELPERS/write-vmstate" "$NEW/state" 10.0.0 1 drive="$SNAPFORK_ROOT/guests/g/disk.raw" boot-args=new
  head -c 1M /dev/urandom >"$SOURCE/memory"
  head -c 1M /dev/urandom >"$NEW/memory"
  printf 'old' >"$SOURCE/disk.raw"
  snapfork -q import g --state "$SOURCE/state" --memory "$SOURCE/memory" \
    --disk "$SOURCE/disk.raw=$SNAPFORK_ROOT/guests/g/disk.raw"
  printf '{}' >"$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/config.json"
  cp -a --reflink=always "$SNAPFORK_ROOT" "$BATS_TEST_TMPDIR/fs/pristine"
}

restore_store() {
  rm -rf "$SNAPFORK_ROOT"
  cp -a --reflink=always "$BATS_TEST_TMPDIR/fs/pristine" "$SNAPFORK_ROOT"
}
