#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The time of `snapfork fork`, including process starts: a guest with 3.5 GiB of memory (sparse) and a disk of 10 GiB in
# 64 extents, on XFS in a file, with a running page server. It is compared with the same programs, called one after the
# other by a minimal script. Needs root, for the mount.
#
# With the File back end the driver takes 3.5 ms more than the script, of 12.2 ms. Bash starts later than dash, and parses 20 KB,
# the options and the checks until template-lock starts, which takes 2 ms. Each of its child processes takes 0.2 ms longer to
# start, because bash is larger and its pages are copied. The rest of the driver is parsed while template-lock locks and begins
# the forks; fork-publish starts, and reads the state of the source, while reflink-clone runs.
set -euo pipefail
shopt -s inherit_errexit

readonly RUNS=21 # of each; the minimum is printed, because other processes only add to a time

# shellcheck source=tests/vmstate.bash
source tests/vmstate.bash

cleanup() {
  snapfork -q delete keeps-the-page-server 2>/dev/null || true
  # The page server ends soon after its last session.
  until umount "$dir/fs" 2>/dev/null || ! mountpoint -q "$dir/fs"; do sleep 0.1; done
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
  snapfork -q fork --backend uffd base keeps-the-page-server >/dev/null
}

# The programs that `snapfork fork base f` calls, with as little as possible between them.
write_script() { # <file> <uffd|file>
  cat >"$1" <<SCRIPT
#!/bin/sh -e
snapshot-meta fork-begin base f >/dev/null
reflink-clone --profile vm --exclude /snapshots/snapshot-latest/state --memory=link --reflink=auto --json "$SNAPFORK_ROOT/guests/base" \
  "$SNAPFORK_ROOT/.snapfork/tmp/fork.f" >"$dir/report"
record=\$(snapshot-meta fork-publish base f --backend $2 --clone-report "$dir/report")
echo "\$record"
[ $2 = uffd ] || exit 0
session=\${record#*'"session_id":"'}
uffd-ctl --control "$SNAPFORK_PAGER" create \
  "\${session%%'"'*}=$SNAPFORK_ROOT/guests/f/snapshots/snapshot-latest/memory" >/dev/null
SCRIPT
  chmod +x "$1"
}

# Adds the microseconds of a command to the file, and deletes the forks that it made.
time_run() { # <file> <command...>
  local started ended made
  started=${EPOCHREALTIME/./}
  "${@:2}" >"$dir/records"
  ended=${EPOCHREALTIME/./}
  printf '%d\n' $((ended - started)) >>"$1"
  mapfile -t made < <(sed -E 's/.*"id":"([^"]*)".*/\1/' "$dir/records")
  snapfork -q delete "${made[@]}"
}

# Measures the driver and the script in turns.
ratio_row() { # <what> <uffd|file>
  local i
  rm -f "$dir/driver" "$dir/script"
  write_script "$dir/fork.sh" "$2"
  for ((i = 0; i < RUNS; i++)); do
    time_run "$dir/script" template-lock --shared base --exclusive --no-wait f -- "$dir/fork.sh"
    time_run "$dir/driver" snapfork fork --backend "$2" base f
  done
  awk -v what="$1" -v backend="$2" '
    { if (!(FILENAME in least) || $1 < least[FILENAME]) least[FILENAME] = $1 }
    END {
      a = least[ARGV[1]] / 1000; b = least[ARGV[2]] / 1000
      printf "| %s, against its programs in a minimal script | %.2f (%.1f ms, %.1f ms) | at most 1.5, 20 ms | `snapfork fork --backend %s base f` |\n", what, a / b, a, b, backend
    }' "$dir/driver" "$dir/script"
}

main() {
  if ((EUID != 0)); then
    printf '| snapfork fork --backend uffd | skipped: needs root | | |\n'
    return
  fi
  dir=$(mktemp -d /tmp/snapfork-bench.XXXXXX)
  export SNAPFORK_ROOT=$dir/fs/store SNAPFORK_PAGER=$dir/run/pager.sock
  trap cleanup EXIT
  prepare
  local i
  ratio_row 'fork of a template, served by uffd' uffd
  ratio_row 'fork of a template, memory from the file' file
  for ((i = 0; i < 3; i++)); do time_run "$dir/hundred" snapfork fork --backend uffd -n 100 base; done
  # shellcheck disable=SC2016 # Markdown
  printf '| 100 forks of a template, served by uffd | %s ms | 500 ms | `snapfork fork --backend uffd -n 100 base` |\n' \
    "$(sort -n "$dir/hundred" | awk 'NR == 1 { printf "%.0f", $1 / 1000 }')"
}

main "$@"
