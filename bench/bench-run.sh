#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The time from `snapfork run` of an existing fork to the first answer of its guest, one fork and 25 at once, compared
# with the fewest calls that do the same: start Firecracker, wait for its socket, load, resume. FIRECRACKER is the path
# of the program. The guest of the tests polls its serial line and never sleeps, so guests that run take time from starts
# of other guests. Prints rows of bench/RESULTS.md. Medians. Needs root, for the mount.
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=11 many_rounds=3 many=25
dir=$(mktemp -d "${TMPDIR:-/tmp}/snapfork-bench.XXXXXX")

# The snapshot is made by the helpers of the tests.
readonly BATS_TEST_TMPDIR=$dir
bats_require_minimum_version() { :; }
skip() {
  printf '| run of a fork | skipped: %s | | |\n' "$1"
  exit
}
# shellcheck source=tests/firecracker/helpers.bash
source "${BASH_SOURCE[0]%/*}/../tests/firecracker/helpers.bash"

cleanup() {
  vm_kill_all
  snapfork -q delete --stop "${forks[@]}" 2>/dev/null || true
  umount -l "$dir/fs" 2>/dev/null || true
  rm -rf "$dir"
}

prepare() {
  local i
  truncate -s 8G "$dir/image"
  mkfs.xfs -q -m reflink=1 "$dir/image"
  mkdir "$dir/fs"
  mount -o loop "$dir/image" "$dir/fs"
  mkdir "$SNAPFORK_ROOT"
  # For a guest without a disk, /proc is searched for a process that has its memory open (6 ms for 260 processes).
  truncate -s 64M "$dir/fs/disk.img"
  take_snapshot "$dir/fs/snapshot" guest.seed=7 \
    "{\"drives\":[{\"drive_id\":\"data\",\"path_on_host\":\"$dir/fs/disk.img\",\"is_root_device\":false,\"is_read_only\":false}]}"
  snapfork -q import base --state "$dir/fs/snapshot/state" --memory "$dir/fs/snapshot/memory" --disk "$dir/fs/disk.img"
  snapfork -q promote base 2>/dev/null
  for ((i = 0; i < many; i++)); do forks+=("f$i"); done
  for i in "${forks[@]}"; do snapfork -q fork base "$i" >/dev/null; done
}

# Starts a guest in the directory VM and makes it write to VM/console. It reads VM/input.
write_scripts() {
  cat >"$dir/bare.sh" <<SCRIPT
#!/bin/sh -e
mkdir -p "$dir/bare/\$1"
cd "$dir/bare/\$1"
rm -f input api.sock
mkfifo input
"$firecracker" ${firecracker_args[*]} --id "\$1" --api-sock "\$PWD/api.sock" <>input >console 2>&1 &
echo \$! >pid
memory=$SNAPFORK_ROOT/guests/\$1/snapshots/snapshot-latest
fc-api --wait 10 "\$PWD/api.sock" PUT /snapshot/load \\
  "{\"snapshot_path\":\"\$memory/state\",\"mem_backend\":{\"backend_type\":\"File\",\"backend_path\":\"\$memory/memory\"},\"resume_vm\":true}"
SCRIPT
  cat >"$dir/ours.sh" <<SCRIPT
#!/bin/sh -e
exec snapfork -q run --detach --firecracker "$firecracker" $(printf -- '--firecracker-arg %s ' "${firecracker_args[@]}") "\$1" >"$dir/ours.\$1"
SCRIPT
  chmod +x "$dir"/{bare,ours}.sh
}

place() { # <bare|ours> <fork>: sets the directory of its console
  if [[ $1 == bare ]]; then
    place=$dir/bare/$2
  else
    place=$dir/run/vm/$(snapshot-meta session-name "$2")
  fi
}

# Starts guests at once. Adds the microseconds until each has answered to a file, and those until each is resumed.
time_start() { # <bare|ours> <fork>...
  local kind=$1 fork started place pids=() places=()
  shift
  for fork; do
    place "$kind" "$fork"
    places+=("$place")
  done
  started=${EPOCHREALTIME/./}
  for fork; do
    "$dir/$kind.sh" "$fork" 2>"$dir/error" &
    pids+=($!)
  done
  wait "${pids[@]}"
  echo $((${EPOCHREALTIME/./} - started)) >>"$dir/$kind.$#.resumed"
  for place in "${places[@]}"; do echo 'ping' >"$place/input"; done
  for place in "${places[@]}"; do
    until [[ $(<"$place/console") == *pong* ]]; do read -r -t 0.001 _ <>"$dir/never" || true; done
  done 2>/dev/null
  echo $((${EPOCHREALTIME/./} - started)) >>"$dir/$kind.$#.answered"
  if [[ $kind == ours ]]; then
    for fork; do snapfork -q stop "$fork"; done
  else
    for fork; do end_bare "$(<"$dir/bare/$fork/pid")"; done
    rm -r "$dir/bare"
  fi
}

# A VMM that still ends has its disk open, and the next run would be refused.
end_bare() { # <pid>
  kill -KILL "$1"
  while kill -0 "$1" 2>/dev/null; do read -r -t 0.001 _ <>"$dir/never" || true; done
}

median() { # <file>
  sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

# What --backend auto does for a template with a hot list, in turns with the same run without one. The page cache is warm,
# so there is nothing to gain.
list_row() {
  local i with without list=$SNAPFORK_ROOT/guests/base/template/hot.hpl
  shuf -i 0-32767 -n 10000 --random-source=<(yes) >"$dir/trace"
  sed -i '1i # snapfork-trace 1 page_size=4096 memory_bytes=134217728 regions=0+134217728' "$dir/trace"
  hotpage-record record "$dir/trace" >"$dir/list"
  rm -f "$dir"/ours.1.*
  for ((i = 0; i < rounds; i++)); do
    time_start ours f0
    tail -n 1 "$dir/ours.1.answered" >>"$dir/without"
    cp "$dir/list" "$list"
    time_start ours f0
    tail -n 1 "$dir/ours.1.answered" >>"$dir/with"
    rm "$list"
  done
  with=$(median "$dir/with") without=$(median "$dir/without")
  awk -v with="$with" -v without="$without" 'BEGIN {
    printf "| run of a fork, hot list of 10000 pages, warm page cache, against no list | %.2f (%.1f ms, %.1f ms) | 1.1 | `snapfork run --detach` |\n",
      with / without, with / 1000, without / 1000
  }'
}

rows() { # <count> <what>
  local event ours bare
  for event in resumed answered; do
    ours=$(median "$dir/ours.$1.$event") bare=$(median "$dir/bare.$1.$event")
    awk -v ours="$ours" -v bare="$bare" -v count="$1" -v what="$2, until $event" 'BEGIN {
      printf "| %s, against bare calls | %.2f (%.1f ms, %.1f ms; %.1f ms more) | %s | `snapfork run --detach` |\n", what,
        ours / bare, ours / 1000, bare / 1000, (ours - bare) / 1000, count == 1 ? "15 ms more" : "1.2"
    }'
  done
}

main() {
  require_firecracker
  ((EUID == 0)) || skip 'needs root'
  export SNAPFORK_ROOT=$dir/fs/store SNAPFORK_PAGER=$dir/run/pager.sock
  forks=()
  trap cleanup EXIT
  prepare
  write_scripts
  mkfifo "$dir/never"
  set -m # else bash starts `&` with SIGINT ignored, and snapfork would start itself again; a service manager does not
  local i
  for ((i = 0; i < rounds; i++)); do
    time_start bare f0
    time_start ours f0
  done
  for ((i = 0; i < many_rounds; i++)); do
    time_start bare "${forks[@]}"
    time_start ours "${forks[@]}"
  done
  rows 1 'run of a fork'
  list_row
  rows "$many" "run of $many forks at once"
}

main "$@"
