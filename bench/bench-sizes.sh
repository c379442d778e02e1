#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The time of `snapfork fork` by the size of the guest's memory, compared with a reflink of the memory file and a start of the
# driver. Prints rows of bench/RESULTS.md, and writes the data of a picture. The minimum of the rounds, because other processes
# only add to a time. Needs root, for the mount.
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=${ROUNDS:-7}
readonly raw=${RAW:-bench/raw}
dir=

cleanup() {
  ! mountpoint -q "$dir/fs" || umount "$dir/fs"
  rm -rf "$dir"
}

# Prints the microseconds that a command takes.
time_of() { # <command> [argument]...
  local started=${EPOCHREALTIME/./}
  "$@" >/dev/null
  printf '%d\n' $((${EPOCHREALTIME/./} - started))
}

least() { # <file>
  sort -n "$1" | head -n 1
}

# Makes a template with that much memory, of which 64 MiB are data.
make_template() { # <id> <MiB>
  local memory=$dir/fs/$1.memory
  "$HELPERS/write-vmstate" "$dir/state" 10.0.0 "$2"
  truncate -s "$2M" "$memory"
  head -c $((64 << 20)) /dev/urandom | dd of="$memory" bs=1M conv=notrunc status=none
  snapfork -q import "$1" --state "$dir/state" --memory "$memory"
  snapfork -q promote "$1"
}

measure() { # <id>
  local i memory=$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory
  for ((i = 0; i < rounds; ++i)); do
    time_of snapfork fork --backend file "$1" f >>"$dir/$1.fork"
    snapfork -q delete f
    time_of cp --reflink=always "$memory" "$dir/fs/copy" >>"$dir/$1.reflink"
    rm "$dir/fs/copy"
    time_of snapfork --version >>"$dir/$1.start"
  done
}

points() { # <fork|reflink|start>
  local mib
  for mib in "${sizes[@]}"; do
    printf '[%d,%d]\n' "$mib" "$(least "$dir/g$mib.$1")"
  done | jq -sc 'map([.[0], .[1] / 1000])'
}

main() {
  if ((EUID != 0)); then
    printf '| fork by size of the memory | skipped: needs root | - | - |\n'
    return
  fi
  local sizes=(256 1024 4096 16384) mib least_fork most_fork
  dir=$(mktemp -d /tmp/snapfork-bench.XXXXXX)
  trap cleanup EXIT
  export SNAPFORK_ROOT=$dir/fs/store SNAPFORK_PAGER=$dir/pager.sock
  truncate -s 24G "$dir/image"
  mkfs.xfs -q -m reflink=1 "$dir/image"
  mkdir "$dir/fs"
  mount -o loop "$dir/image" "$dir/fs"
  mkdir -m 0700 "$SNAPFORK_ROOT"
  for mib in "${sizes[@]}"; do
    make_template "g$mib" "$mib"
    measure "g$mib"
  done
  least_fork=$(least "$dir/g256.fork") most_fork=$(least "$dir/g16384.fork")
  # shellcheck disable=SC2016 # Markdown
  printf '| fork of a template of 16 GiB, against one of 256 MiB | %s (%d us, %d us) | at most 1.2 | `snapfork fork --backend file` |\n' \
    "$(awk -v a="$most_fork" -v b="$least_fork" 'BEGIN { printf "%.2f", a / b }')" "$most_fork" "$least_fork"
  mkdir -p "$raw"
  jq -nc --argjson fork "$(points fork)" --argjson reflink "$(points reflink)" --argjson start "$(points start)" \
    '{title: "Time of a fork by the size of its memory (64 MiB of data, XFS)", x: "MiB", y: "milliseconds", log_x: true,
      series: [{name: "snapfork fork", points: $fork},
               {name: "cp --reflink of the memory file alone", floor: true, points: $reflink},
               {name: "snapfork --version", floor: true, points: $start}]}' >"$raw/fork-by-size.json"
}

main "$@"
