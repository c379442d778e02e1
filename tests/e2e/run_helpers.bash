# SPDX-License-Identifier: Apache-2.0
# run_helpers.bash: snapshots whose vmstate names disks and a vsock socket of the host.
# shellcheck shell=bash disable=SC2034,SC2154 # variables for, and of, the tests and helpers.bash

# The directory that the fixtures name: that of a VM in the layout of hypeman.
NAMED=/var/lib/hypeman/guests/tz4a98xxat96iws9zmbrgj3a1

# Sets `fixture`. The snapshots of real VMs with devices are not part of the project.
require_devices() { # <version of Firecracker>
  fixture=${SNAPFORK_FIXTURES:-$BATS_TEST_DIRNAME/../../../shared/fixtures}/firecracker-$1/devices
  [[ -e $fixture/state ]] || skip "no snapshot with devices: '$fixture'"
}

# Makes a VM in $MACHINE: its snapshot and two disks of 8 MiB.
make_machine() { # [directory that its state names]
  NAMED=${1:-$NAMED}
  make_disks
  "$HELPERS/write-vmstate" "$MACHINE/state" 10.0.0 16 "drive=$NAMED/overlay.raw" "drive=$NAMED/config.ext4" "vsock=$NAMED/vsock.sock"
  head -c 16M /dev/urandom >"$MACHINE/memory"
}

# The same from the fixture.
make_real_machine() {
  make_disks
  cp "$fixture/state" "$MACHINE/state"
  zstd -q -d --long=27 "$fixture/memory.zst" -o "$MACHINE/memory"
}

make_disks() {
  MACHINE=$BATS_TEST_TMPDIR/machine
  mkdir "$MACHINE"
  local disk
  for disk in overlay.raw config.ext4; do
    printf 'source %s\n' "$disk" >"$MACHINE/$disk"
    truncate -s 8M "$MACHINE/$disk"
  done
}

import_machine() {
  snapfork -q import base --state "$MACHINE/state" --memory "$MACHINE/memory" \
    --disk "$MACHINE/overlay.raw=$NAMED/overlay.raw" --disk "$MACHINE/config.ext4=$NAMED/config.ext4"
  snapfork -q promote base
}

first_line() { # <file>
  head -n 1 "$1" | tr -d '\0'
}
