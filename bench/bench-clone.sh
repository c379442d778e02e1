#!/usr/bin/env bash
# reflink-clone against cp -a --reflink=always on the directory of a VM: a disk of 10 GiB (sparse, 64 pieces),
# 4 GiB of memory, 40 small files, on XFS in a file. The two take turns, so that what else the machine does
# meets both; process starts are counted. Needs root, for the mount.
set -euo pipefail
shopt -s inherit_errexit

readonly ROUNDS=${ROUNDS:-61} # of which the median is shown
readonly AT_ONCE=10           # destinations in one call

cleanup() {
  umount "$dir/fs" 2>/dev/null || true
  rm -rf "$dir"
}

prepare() {
  local i vm=$dir/fs/vm
  truncate -s 24G "$dir/image"
  mkfs.xfs -q -m reflink=1 "$dir/image"
  mkdir "$dir/fs"
  mount -o loop "$dir/image" "$dir/fs"
  mkdir -p "$vm/snapshots/snapshot-latest" "$vm/config"
  truncate -s 10G "$vm/overlay.raw"
  for ((i = 0; i < 64; i++)); do
    dd if=/dev/urandom of="$vm/overlay.raw" bs=1M count=1 seek=$((i * 160)) conv=notrunc status=none
  done
  dd if=/dev/zero of="$vm/snapshots/snapshot-latest/memory" bs=4M count=1024 status=none
  for ((i = 0; i < 40; i++)); do
    head -c $((200 * (i + 1))) /dev/urandom >"$vm/config/file-$i"
  done
  sync -f "$dir/fs"
}

# Prints the microseconds that a command takes.
time_of() { # <command> [argument]...
  local started=$EPOCHREALTIME ended
  "$@" >/dev/null
  ended=$EPOCHREALTIME
  printf '%d\n' $((${ended/./} - ${started/./}))
}

# The clones go, and the filesystem comes to rest, before the next is measured.
clear_away() {
  rm -rf "$dir"/fs/clone*
  sync -f "$dir/fs"
}

median() { # <file>
  sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

# Ratio of the medians of ours and theirs, with ours divided by the destinations it made.
compare() { # <what> <aim> <destinations> <command...>
  local what=$1 aim=$2 destinations=$3 round i ours theirs shown
  shift 3
  local targets=()
  for ((i = 0; i < destinations; i++)); do targets+=("clone-$i"); done
  : >"$dir/ours"
  : >"$dir/theirs"
  for ((round = 0; round < ROUNDS; round++)); do
    time_of cp -a --reflink=always vm clone-cp >>"$dir/theirs"
    clear_away
    time_of "$@" vm "${targets[@]}" >>"$dir/ours"
    clear_away
  done
  ours=$(median "$dir/ours")
  theirs=$(median "$dir/theirs")
  shown="$* vm clone"
  ((destinations == 1)) || shown+="-0 ... clone-$((destinations - 1))"
  awk -v what="$what" -v aim="$aim" -v ours="$ours" -v theirs="$theirs" -v n="$destinations" -v shown="$shown" 'BEGIN {
    printf "| %s | %.2f (%.2f ms against %.2f ms) | %s | `%s` |\n",
      what, ours / n / theirs, ours / n / 1000, theirs / 1000, aim, shown }'
}

main() {
  if ((EUID != 0)); then
    printf '| reflink-clone of a VM directory | skipped: needs root | | |\n'
    return
  fi
  dir=$(mktemp -d "${TMPDIR:-/tmp}/snapfork-bench.XXXXXX")
  trap cleanup EXIT
  prepare
  cd "$dir/fs"
  compare 'VM directory, time as a ratio to cp -a --reflink=always' '1.0' 1 \
    reflink-clone -q --profile vm
  compare "the same, $AT_ONCE destinations in one call, each" '1.0' "$AT_ONCE" reflink-clone -q --profile vm
  chmod 0444 vm/snapshots/snapshot-latest/memory
  compare 'the same, sealed memory linked' '1.0' 1 reflink-clone -q --profile vm --memory=link
  cd /
}

main "$@"
