#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# reflink-clone compared with cp, a bare FICLONE, a sequential read and an empty program. The two of each pair run in turn,
# so that other load affects both; medians are compared. Needs root, for the mounts. FULL=1 uses the sizes of the aims
# instead of a quarter (4 GiB of memory, 8 GiB to copy).
set -euo pipefail
shopt -s inherit_errexit

readonly ROUNDS=${ROUNDS:-31}
readonly QUARTER=$((${FULL:-0} ? 4 : 1)) # in quarters of the full size
readonly AT_ONCE=10                      # destinations in one call

cleanup() {
  local type
  cd /
  for type in xfs btrfs ext4; do
    umount "$dir/$type" 2>/dev/null || true
  done
  rm -rf "$dir"
}

mount_image() { # <xfs|btrfs|ext4> <GiB>
  local force=-f
  [[ $1 != ext4 ]] || force=-F
  truncate -s "${2}G" "$dir/$1.img"
  "mkfs.$1" -q "$force" "$dir/$1.img" >/dev/null 2>&1
  mkdir "$dir/$1"
  mount -o loop "$dir/$1.img" "$dir/$1"
}

# Prints the microseconds that a command takes.
time_of() { # <command> [argument]...
  local started=$EPOCHREALTIME ended
  "$@" >/dev/null
  ended=$EPOCHREALTIME
  printf '%d\n' $((${ended/./} - ${started/./}))
}

# Removes the clones and waits for the filesystem before the next measurement.
clear_away() {
  rm -rf clone*
  sync -f .
}

median() { # <file>
  sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

# Runs two functions in turn that each print microseconds, and prints a row with the ratio of the medians.
compare() { # <what> <aim> <rounds> <ours> <theirs> <shown> [divide ours by]
  local what=$1 aim=$2 rounds=$3 our_function=$4 their_function=$5 shown=$6 share=${7-1} round
  : >"$dir/ours"
  : >"$dir/theirs"
  for ((round = 0; round < rounds; round++)); do
    "$their_function" >>"$dir/theirs"
    clear_away
    "$our_function" >>"$dir/ours"
    clear_away
  done
  awk -v what="$what" -v aim="$aim" -v ours="$(median "$dir/ours")" -v theirs="$(median "$dir/theirs")" -v n="$share" \
    -v shown="$shown" 'BEGIN { printf "| %s | %.2f (%.2f ms against %.2f ms) | %s | `%s` |\n",
      what, ours / n / theirs, ours / n / 1000, theirs / 1000, aim, shown }'
}

# ---- the directory of a VM: a disk of 10 GiB (sparse, 64 pieces), 4 GiB of memory, 40 small files

prepare_vm() {
  local i
  mkdir -p vm/snapshots/snapshot-latest vm/config
  truncate -s 10G vm/overlay.raw
  for ((i = 0; i < 64; i++)); do
    dd if=/dev/urandom of=vm/overlay.raw bs=1M count=1 seek=$((i * 160)) conv=notrunc status=none
  done
  dd if=/dev/zero of=vm/snapshots/snapshot-latest/memory bs=4M count=$((QUARTER * 256)) status=none
  for ((i = 0; i < 40; i++)); do
    head -c $((200 * (i + 1))) /dev/urandom >"vm/config/file-$i"
  done
  sync -f .
}

vm_by_cp() { time_of cp -a --reflink=always vm clone; }
vm_by_us() { time_of reflink-clone -q --profile vm vm clone; }
vm_with_numbers() { time_of reflink-clone --json --profile vm vm clone; }
vm_linked() { time_of reflink-clone -q --profile vm --memory=link vm clone; }
vm_at_once() {
  local i targets=()
  for ((i = 0; i < AT_ONCE; i++)); do targets+=("clone-$i"); done
  time_of reflink-clone -q --profile vm vm "${targets[@]}"
}

bench_vm() { # <filesystem>
  local us='reflink-clone -q --profile vm vm clone'
  compare "VM directory on $1, time as a ratio to cp -a --reflink=always" 1.0 "$ROUNDS" vm_by_us vm_by_cp "$us"
  compare 'the same, with all numbers' - "$ROUNDS" vm_with_numbers vm_by_cp "${us/-q/--json}"
  compare "the same, $AT_ONCE destinations in one call, each" 1.0 "$ROUNDS" vm_at_once vm_by_cp \
    "$us-0 ... clone-$((AT_ONCE - 1))" "$AT_ONCE"
  chmod 0444 vm/snapshots/snapshot-latest/memory
  compare 'the same, sealed memory linked' 1.0 "$ROUNDS" vm_linked vm_by_cp "${us/vm vm/vm --memory=link vm}"
}

# ---- one file, without the start of the process: our code runs in the helper's process, whose first calls are as cold

file_by_us() { "$HELPERS/bench-clone" clone file clone; }
file_with_numbers() { "$HELPERS/bench-clone" numbers file clone; }
file_by_ficlone() { "$HELPERS/bench-clone" ficlone file clone; }

bench_extents() { # <filesystem>
  local extents rounds what
  for extents in 1 1000 100000; do
    rounds=$ROUNDS
    ((extents <= 1000)) || rounds=3
    "$HELPERS/bench-clone" fragment file "$extents"
    what="file of $extents extents on $1, without process start, as a ratio to open, FICLONE, linkat"
    compare "$what" 1.05 "$rounds" file_by_us file_by_ficlone 'reflink-clone -q file clone'
    ((extents != 1000)) \
      || compare 'the same, with all numbers' - "$rounds" file_with_numbers file_by_ficlone 'reflink-clone --json file clone'
    rm file
  done
}

# ---- copies and zeros

copy_by_cp() { time_of cp --sparse=always sparse clone; }
copy_by_us() { time_of reflink-clone -q sparse clone; }
copy_by_two() { time_of reflink-clone -q --jobs 2 sparse clone; }

bench_copy() {
  local i what="copy of a sparse file of $((QUARTER * 2)) GiB with $((QUARTER * 256)) MiB of data on ext4"
  truncate -s "$((QUARTER * 2))G" sparse
  for ((i = 0; i < 16; i++)); do
    dd if=/dev/urandom of=sparse bs=1M count=$((QUARTER * 16)) seek=$((i * QUARTER * 128)) conv=notrunc status=none
  done
  sync -f .
  compare "$what, as a ratio to cp --sparse=always" 0.8 11 copy_by_us copy_by_cp 'reflink-clone sparse clone'
  compare 'the same, two threads' 0.8 11 copy_by_two copy_by_cp 'reflink-clone --jobs 2 sparse clone'
}

read_memory() { time_of dd if=memory of=/dev/null bs=1M status=none; }
dig_memory() { time_of reflink-clone -q --dig memory; }

bench_dig() {
  "$HELPERS/bench-clone" memory memory $((QUARTER * 1024))
  compare "--dig of $QUARTER GiB, 60 % zero pages scattered, as a ratio to a sequential read (both cached)" 1.2 11 \
    dig_memory read_memory 'reflink-clone --dig memory'
  rm memory
}

# ---- the start, until the first FICLONE

start_of_us() { "$HELPERS/bench-clone" start reflink-clone -q file clone; }
start_of_empty() { "$HELPERS/bench-clone" start "$dir/empty"; }

bench_start() {
  printf 'int main() {}\n' >"$dir/empty.cc"
  "${CXX:-g++}" -O2 "$dir/empty.cc" -o "$dir/empty"
  head -c 1M /dev/urandom >file
  sync file
  compare 'process start to first FICLONE of 1 MiB, as a ratio to an empty, dynamically linked C++ program' 1.3 301 \
    start_of_us start_of_empty 'reflink-clone -q file clone'
  rm file
}

main() {
  if ((EUID != 0)); then
    printf '| reflink-clone | skipped: needs root | | |\n'
    return
  fi
  local type
  dir=$(mktemp -d "${TMPDIR:-/tmp}/snapfork-bench.XXXXXX")
  trap cleanup EXIT
  for type in xfs btrfs; do
    mount_image "$type" 24
    cd "$dir/$type"
    prepare_vm
    bench_vm "$type"
    rm -rf vm
    bench_extents "$type"
    if [[ $type == xfs ]]; then
      bench_dig
      bench_start
    fi
    cd "$dir"
    umount "$dir/$type"
    rm "$dir/$type.img"
  done
  mount_image ext4 24
  cd "$dir/ext4"
  bench_copy
}

main "$@"
