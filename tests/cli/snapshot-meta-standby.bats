#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta standby-begin, standby-publish and standby-end, with a VMM that is a test double.
# shellcheck disable=SC2154,SC2030,SC2031 # what run sets; variables of one test

load helpers
load ../fake_firecracker
load ../standby_guest
load ../mounts

setup() {
  common_setup
}

teardown() {
  fake_kill_all
  common_teardown
  unmount_all
}

@test "standby-publish makes the new snapshot that of the guest, with its disks and its VMM" {
  make_guest g
  snapshot-meta set g 'snapfork.host:={"kernel":"1.0"}'
  run_guest g
  mapfile -t -d $'\t' written < <(snapshot-meta standby-begin g | tr -d '\n')
  [[ ${written[0]} == "$SNAPFORK_ROOT/.snapfork/tmp/standby.g/state" ]]
  (($(stat --format=%s "${written[1]}") == 4 << 20))
  pause_and_write g
  snapshot-meta standby-publish --vmm-version 1.16.1 g
  [[ $(snapshot-meta state g) == Running ]]
  snapshot-meta stop g
  [[ $(snapshot-meta state g) == Standby ]]
  [[ $(snapshot-meta get g snapfork.vmm) == '{"version":"1.16.1","from":"standby"}' ]]
  [[ $(snapshot-meta get g snapfork.host | jq -r .kernel) == "$(uname -r)" ]]
  [[ $(snapshot-meta get g FirecrackerUseUFFDOnNextRestore) == false ]]
  snapshot-meta verify g
  guest_worked g
  [[ ! -e $SNAPFORK_ROOT/.snapfork/tmp/standby.g ]]
  snapshot-meta fsck
}

@test "a snapshot of a fork gets its own file, and the template stays as it was" {
  make_guest base
  snapfork -q promote base
  snapfork -q fork --backend file base f >/dev/null
  local memory=$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory digest
  digest=$(sha256sum <"$memory")
  run_guest f
  run -1 snapshot-meta standby-begin --type diff f
  [[ $output == *'its memory file is that of a template'* ]]
  snapshot-meta standby-begin f
  pause_and_write f
  snapshot-meta standby-publish f
  snapshot-meta stop f
  [[ $(snapshot-meta state f) == Standby && $(sha256sum <"$memory") == "$digest" ]]
  guest_worked f
  (($(stat --format=%h "$memory") == 1))
  snapshot-meta verify --deep base
  snapshot-meta fsck
}

@test "a Diff is written over a clone of the base, once for each VMM, and only over memory of the guest's own" {
  make_guest g
  run_guest g '' '{"track_dirty_pages":true}'
  local new=$SNAPFORK_ROOT/.snapfork/tmp/standby.g
  snapshot-meta standby-begin --type diff g >/dev/null
  [[ ! -e $new/memory ]]
  cp --reflink=auto "$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/memory" "$new/memory"
  pause_and_write g Diff
  # It could be published now. If it is not, the next one cannot be a Diff.
  run -1 --separate-stderr snapshot-meta standby-begin --type diff g
  [[ $stderr == *'its VMM may have written one that was not published, '*'; write a Full one' ]]
  snapshot-meta standby-publish g
  snapshot-meta stop g
  guest_worked g
  run -1 snapshot-meta get g snapfork.snapshot_begun
}

@test "standby-begin refuses a Diff of a guest with a balloon" {
  make_guest g 4 balloon=1
  run_guest g
  run -1 --separate-stderr snapshot-meta standby-begin --type diff g
  [[ $stderr == *'the guest has a balloon'* ]]
  snapshot-meta standby-begin g >/dev/null
}

@test "standby-begin refuses a guest that does not run, and a template" {
  make_guest g
  run -1 --separate-stderr snapshot-meta standby-begin g
  [[ $stderr == "snapshot-meta: cannot write a snapshot of 'g': its state is Standby, not Running" ]]
  snapfork -q promote g
  run -1 --separate-stderr snapshot-meta standby-begin g
  [[ $stderr == *'it is a template, which is never written' ]]
  run -1 --separate-stderr snapshot-meta standby-publish g
  [[ $stderr == *'it is a template'* ]]
}

@test "standby-begin says how much space is missing, and leaves nothing" {
  require_root
  mount_fs xfs "$BATS_TEST_TMPDIR/fs" 300
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/store
  mkdir "$SNAPFORK_ROOT"
  make_guest g 400
  run_guest g
  run -5 --separate-stderr snapshot-meta standby-begin g
  [[ $stderr =~ 'it needs 401 MiB in '.*', '[0-9]+' MiB are free, '[0-9]+' MiB are missing: No space left on device' ]]
  run -5 snapshot-meta standby-begin --dry-run g
  [[ ! -e $SNAPFORK_ROOT/.snapfork/tmp/standby.g && $(snapshot-meta state g) == Running ]]
}

@test "standby-publish refuses files that are not whole, and changes nothing" {
  make_guest g
  run_guest g
  run -1 --separate-stderr snapshot-meta standby-publish g
  [[ $stderr == *'does not exist; start with standby-begin' ]]
  snapshot-meta standby-begin g >/dev/null
  run -4 --separate-stderr snapshot-meta standby-publish g
  [[ $stderr == *"/standby.g/state' does not exist" ]]
  pause_and_write g
  truncate -s 1M "$SNAPFORK_ROOT/.snapfork/tmp/standby.g/memory"
  run -4 --separate-stderr snapshot-meta standby-publish g
  [[ $stderr == *'has 1 MiB instead of 4 MiB' ]]
  ln "$SNAPFORK_ROOT/.snapfork/tmp/standby.g/memory" "$BATS_TEST_TMPDIR/link"
  run -4 --separate-stderr snapshot-meta standby-publish g
  [[ $stderr == *'is not a regular file with one link' ]]
  snapshot-meta standby-begin g >/dev/null
  pause_and_write g
  printf x | dd of="$SNAPFORK_ROOT/.snapfork/tmp/standby.g/state" bs=1 seek=500 conv=notrunc status=none
  run -4 --separate-stderr snapshot-meta standby-publish g
  [[ $stderr == *'the CRC of '*' is wrong' ]]
  snapshot-meta standby-end g
  [[ ! -e $SNAPFORK_ROOT/.snapfork/tmp/standby.g ]]
  cmp "$BATS_TEST_TMPDIR/g/memory" "$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/memory"
}

@test "standby-publish keeps other files of the snapshot's directory, but no old image of the memory" {
  make_guest g
  run_guest g
  local latest=$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest
  printf config >"$latest/config.json"
  printf old >"$latest/memory.zst"
  chmod 750 "$latest"
  snapshot-meta standby-begin g >/dev/null
  pause_and_write g
  snapshot-meta standby-publish g
  [[ $(<"$latest/config.json") == config && $(stat --format=%a "$latest") == 750 ]]
  [[ $(ls "$latest") == $'config.json\nmemory\nstate' ]]
}

@test "metadata of a standby that was killed after its rename apply, those of one before it do not" {
  make_guest g
  local latest=$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest inode
  inode=$(stat --format=%i "$latest")
  printf y | dd of="$SNAPFORK_ROOT/guests/g/disk.raw" conv=notrunc status=none
  [[ $(snapshot-meta state g) == Stale ]]
  local disks
  disks=$(snapshot-meta get g snapfork.disks | jq -c --argjson ns "$(stat --format=%Y "$SNAPFORK_ROOT/guests/g/disk.raw")" \
    'map(del(.mtime_ns))')
  snapshot-meta set g snapfork.standby:="{\"snapshot_inode\":$((inode + 1)),\"set\":{\"snapfork.disks\":$disks}}"
  [[ $(snapshot-meta state g) == Stale ]]
  run -1 snapshot-meta fsck
  [[ $output == *"left by a killed standby"* ]]
  snapshot-meta fsck --repair
  [[ $(snapshot-meta state g) == Stale ]]
  snapshot-meta set g snapfork.standby:="{\"snapshot_inode\":$inode,\"set\":{\"snapfork.disks\":$disks}}"
  [[ $(snapshot-meta state g) == Standby ]]
  snapshot-meta fsck --repair
  run ! grep -q standby "$SNAPFORK_ROOT/guests/g/metadata.json"
  [[ $(snapshot-meta state g) == Standby ]]
}
