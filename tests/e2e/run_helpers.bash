# run_helpers.bash: snapshots whose vmstate names disks and a vsock socket of the host.
# shellcheck shell=bash disable=SC2034,SC2154 # variables for, and of, the tests and helpers.bash

# What the fixtures name: the directory of a machine in the layout of hypeman.
readonly NAMED=/var/lib/hypeman/guests/tz4a98xxat96iws9zmbrgj3a1

# Sets `fixture`; the snapshots of real machines with devices lie beside the project.
require_devices() { # <version of Firecracker>
  fixture=${SNAPFORK_FIXTURES:-$BATS_TEST_DIRNAME/../../../shared/fixtures}/firecracker-$1/devices
  [[ -e $fixture/state ]] || skip "no snapshot with devices: '$fixture'"
}

# A machine in $MACHINE: its snapshot and two disks of 8 MiB.
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

# Another name of the same length in place of NAMED, and the CRC-64 (Jones) of the state renewed.
rename_machine() { # <directory>
  local from=$NAMED to=$1 offset
  ((${#from} == ${#to}))
  while IFS=: read -r offset _; do
    printf '%s' "$to" | dd of="$MACHINE/state" bs=1 seek="$offset" conv=notrunc status=none
  done < <(grep -abo "$from" "$MACHINE/state")
  local bytes byte bit crc=0 table=() i
  for ((i = 0; i < 256; i++)); do
    byte=$i
    for bit in 1 2 3 4 5 6 7 8; do
      byte=$((byte & 1 ? (byte >> 1 & 0x7fffffffffffffff) ^ 0x95ac9329ac4bc9b5 : byte >> 1 & 0x7fffffffffffffff))
    done
    table[i]=$byte
  done
  bytes=$(($(stat -c %s "$MACHINE/state") - 8))
  for byte in $(od -An -v -tu1 -N "$bytes" "$MACHINE/state"); do
    crc=$(((crc >> 8 & 0x00ffffffffffffff) ^ table[(crc ^ byte) & 255]))
  done
  for ((i = 0; i < 8; i++)); do printf '%b' "\\x$(printf %02x $((crc >> 8 * i & 255)))"; done \
    | dd of="$MACHINE/state" bs=1 seek="$bytes" conv=notrunc status=none
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
