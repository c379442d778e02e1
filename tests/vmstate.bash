# SPDX-License-Identifier: Apache-2.0
# vmstate.bash: modified state files with a valid checksum.
# shellcheck shell=bash

# Writes the CRC-64 (Jones) of all that is before it into the last 8 bytes.
renew_crc() { # <state file>
  local file=$1 length byte crc=0 table=() i text=''
  for ((i = 0; i < 256; i++)); do
    byte=$i
    for _ in 1 2 3 4 5 6 7 8; do
      byte=$((byte >> 1 & 0x7fffffffffffffff ^ (byte & 1 ? 0x95ac9329ac4bc9b5 : 0)))
    done
    table[i]=$byte
  done
  length=$(($(stat -c %s "$file") - 8))
  for byte in $(od -An -v -tu1 -N "$length" "$file"); do
    crc=$((crc >> 8 & 0x00ffffffffffffff ^ table[(crc ^ byte) & 255]))
  done
  for ((i = 0; i < 8; i++)); do
    printf -v byte '\\x%02x' $((crc >> 8 * i & 255))
    text+=$byte
  done
  printf '%b' "$text" | dd of="$file" bs=1 seek="$length" conv=notrunc status=none
}

# Changes the memory size in a state of Firecracker 1.16 from 128 MiB to 3584 MiB. (Regions and devices stay.)
enlarge_memory() { # <state file>
  local file=$1 at
  at=$(LC_ALL=C grep -abo -m 1 -P '10\.0\.0\x06\x80' "$file" | head -n 1 | cut -d: -f1)
  { head -c $((at + 6)) "$file" && printf '\x04\x00\x0e' && tail -c +$((at + 9)) "$file"; } >"$file.new"
  mv "$file.new" "$file"
  renew_crc "$file"
}
