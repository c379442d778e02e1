#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The time of `snapfork fork`, including process starts: a guest with 3.5 GiB of memory (sparse) and a disk of 10 GiB in
# 64 extents, on XFS in a file, with a running page server. Needs root, for the mount.
set -euo pipefail
shopt -s inherit_errexit

readonly RUNS=21 # the median of these is printed

# shellcheck source=tests/vmstate.bash
source tests/vmstate.bash

cleanup() {
  snapfork -q delete keeps-the-page-server 2>/dev/null || true
  umount "$dir/fs" 2>/dev/null || true
  rm -rf "$dir"
}

prepare() {
  local i
  truncate -s 24G "$dir/image"
  mkfs.xfs -q -m reflink=1 "$dir/image"
  mkdir "$dir/fs"
  mount -o loop "$dir/image" "$dir/fs"
  mkdir "$SNAPFORK_ROOT"
  zstd -q -d --long=27 tests/fixtures/plain/memory.zst -o "$dir/fs/memory"
  truncate -s 3584M "$dir/fs/memory"
  cp tests/fixtures/plain/state "$dir/state"
  enlarge_memory "$dir/state"
  snapfork -q import base --state "$dir/state" --memory "$dir/fs/memory"
  truncate -s 10G "$SNAPFORK_ROOT/guests/base/overlay.raw"
  for ((i = 0; i < 64; i++)); do
    dd if=/dev/urandom of="$SNAPFORK_ROOT/guests/base/overlay.raw" bs=1M count=1 seek=$((i * 160)) \
      conv=notrunc status=none
  done
  snapfork -q promote base
  sync -f "$dir/fs"
  snapfork -q fork base keeps-the-page-server >/dev/null
}

# Prints the milliseconds of each run of a command, one per line; deletes the forks after each.
time_runs() { # <runs> <command...>
  local runs=$1 i started ended
  shift
  for ((i = 0; i < runs; i++)); do
    started=$EPOCHREALTIME
    "$@" >"$dir/records"
    ended=$EPOCHREALTIME
    awk -v a="$started" -v b="$ended" 'BEGIN {printf "%.1f\n", (b - a) * 1000}'
    mapfile -t made < <(sed -E 's/.*"id":"([^"]*)".*/\1/' "$dir/records")
    snapfork -q delete "${made[@]}"
  done
}

median() {
  sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

row() { # <what> <aim> <command> <runs> <command...>
  local what=$1 aim=$2 shown=$3 value
  shift 3
  value=$(time_runs "$@" | median)
  printf '| %s | %s ms | %s | %s |\n' "$what" "$value" "$aim" "\`$shown\`"
}

main() {
  if ((EUID != 0)); then
    printf '| snapfork fork | skipped: needs root | | |\n'
    return
  fi
  dir=$(mktemp -d /tmp/snapfork-bench.XXXXXX)
  export SNAPFORK_ROOT=$dir/fs/store SNAPFORK_PAGER=$dir/run/pager.sock
  trap cleanup EXIT
  prepare
  row 'fork of a template, served by uffd' '25 ms' 'snapfork fork base f' "$RUNS" snapfork fork base f
  row 'fork of a template, memory from the file' '25 ms' 'snapfork fork --backend file base f' "$RUNS" \
    snapfork fork --backend file base f
  row '100 forks of a template, served by uffd' '1000 ms' 'snapfork fork -n 100 base' 3 snapfork fork -n 100 base
}

main "$@"
