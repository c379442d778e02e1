# SPDX-License-Identifier: Apache-2.0
# run_helpers.bash: snapshots whose vmstate names disks and a vsock socket of the host.
# shellcheck shell=bash disable=SC2034,SC2154 # variables for, and of, the tests and helpers.bash

# The directory that the fixtures name: that of a VM in the layout of hypeman.
readonly NAMED=/var/lib/hypeman/guests/tz4a98xxat96iws9zmbrgj3a1

# Sets `fixture`. The snapshots of real VMs with devices are not part of the project.
# Their vmstates name host paths, so `run` needs a mount namespace: a plain chroot has none.
require_devices() { # <version of Firecracker>
  require_namespaces --mount
  fixture=${SNAPFORK_FIXTURES:-$BATS_TEST_DIRNAME/../../../shared/fixtures}/firecracker-$1/devices
  [[ -e $fixture/state ]] || skip "no snapshot with devices: '$fixture'"
}

# Makes a VM in $MACHINE: its snapshot and two disks of 8 MiB.
make_machine() {
  MACHINE=$BATS_TEST_TMPDIR/machine
  mkdir "$MACHINE"
  cp "$fixture/state" "$MACHINE/state"
  zstd -q -d --long=27 "$fixture/memory.zst" -o "$MACHINE/memory"
  local disk
  for disk in overlay.raw config.ext4; do
    printf 'source %s\n' "$disk" >"$MACHINE/$disk"
    truncate -s 8M "$MACHINE/$disk"
  done
}

rename_machine() { # <directory of a name as long>
  # In another shell, because bats traps each command, and this runs many.
  # shellcheck disable=SC2016 # for that shell
  bash -c 'source "$0" && replace_text "$@"' "$BATS_TEST_DIRNAME/../vmstate.bash" \
    "$MACHINE/state" "$NAMED" "$1"
}

import_machine() { # [directory that the vmstate names]
  local named=${1:-$NAMED}
  snapfork -q import base --state "$MACHINE/state" --memory "$MACHINE/memory" \
    --disk "$MACHINE/overlay.raw=$named/overlay.raw" --disk "$MACHINE/config.ext4=$named/config.ext4"
  snapfork -q promote base
}

first_line() { # <file>
  head -n 1 "$1" | tr -d '\0'
}
