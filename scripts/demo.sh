#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make demo`: the main flow on the snapshot in tests/fixtures, in a minute, on one page. Leaves nothing. With
# FIRECRACKER=PATH, a real Firecracker with the guest of tests/guest replaces the probe.
set -euo pipefail
shopt -s inherit_errexit nullglob

readonly FIXTURE=tests/fixtures/plain # its README describes it

heading() { # <text>
  printf '\n%s\n' "$1"
}

# Runs a command and prints it as a user would type it; sets `seconds` to its time.
try() { # <command...>
  local started=$EPOCHREALTIME status=0
  printf '  $ %s\n' "$*" >&3
  "$@" || status=$?
  seconds=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f", b - a}')
  return "$status"
}

number() { # <key> <JSON record>: the first number of that key
  [[ $2 =~ \"$1\":([0-9]+) ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

text() { # <key> <JSON record>
  [[ $2 =~ \"$1\":\"([^\"]*)\" ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

mib() { # <bytes>
  awk -v bytes="$1" 'BEGIN {printf "%.1f MiB", bytes / 1048576}'
}

kib() { # <bytes>
  awk -v bytes="$1" 'BEGIN {printf "%d KiB", bytes / 1024}'
}

micro() { # <nanoseconds>
  awk -v ns="$1" 'BEGIN {printf "%.1f us", ns / 1000}'
}

disk_in_use() { # of the store's filesystem, in bytes
  sync --file-system "$SNAPFORK_ROOT"
  df --block-size=1 --output=used "$SNAPFORK_ROOT" | tail -n 1
}

# --- The store ----------------------------------------------------------------------------------

make_place() {
  place=$(mktemp -d /tmp/snapfork-demo.XXXXXX)
  mkdir "$place/fs"
  export SNAPFORK_ROOT=$place/fs/store SNAPFORK_PAGER=$place/run/pager.sock
  printf 'A snapshot that %s wrote, of a guest with 128 MiB, becomes four guests;\n' "$writer"
  if ((EUID == 0)) && truncate -s 1G "$place/image" && mkfs.xfs -q -m reflink=1 "$place/image" \
    && mount -o loop "$place/image" "$place/fs" 2>"$place/why"; then
    printf 'on XFS, in a file that is mounted for this.\n'
  else
    printf 'in a folder of /tmp, as no XFS can be mounted here (%s):\n' \
      "$([[ -s $place/why ]] && head -n 1 "$place/why" || printf 'not root')"
    printf 'where its filesystem cannot share blocks, disks are sparse copies.\n'
    rm -f "$place/image"
  fi
  mkdir "$SNAPFORK_ROOT"
}

pager_pids() {
  local file words
  for file in /proc/[0-9]*/cmdline; do
    mapfile -d '' -t words <"$file" || continue
    # The keeper comes before its servers, so it starts none while they are ended.
    [[ ! "${words[*]} " =~ ^([^ ]*/)?uffd-(keeper|serve)\ .*" --control $SNAPFORK_PAGER " ]] || basename "${file%/cmdline}"
  done 2>/dev/null
}

# Runs at every exit, including ^C.
clean_up() {
  local pid
  trap '' INT TERM
  [[ -v place ]] || return 0
  for pid in $(pager_pids) ${probe_pids+"${probe_pids[@]}"} ${vm_pid+"${vm_pid[@]}"}; do kill -KILL "$pid" 2>/dev/null || true; done
  wait
  ! mountpoint -q "$place/fs" || umount "$place/fs"
  rm -rf --one-file-system "$place"
}

# --- Whose memory is served: the probe's, or that of a real Firecracker --------------------------

# Each back end has: take_base makes $place/state and $place/memory; serve_all serves the three forks of
# `records` at once and leaves the faults of the first in `first_faults`; serve_again serves the record of the
# fourth, and leaves its faults in `faults`. They fail on one wrong byte.

probe_take_base() {
  cp "$FIXTURE/state" "$place/state"
  zstd -q -d --long=27 "$FIXTURE/memory.zst" -o "$place/memory"
}

# Touches a fork's memory in this order and compares each byte with the snapshot. Then the guest stays until $hold is
# closed, so that its page server can report how many faults it has answered.
probe_start() { # <record> <pattern>
  exec uffd-probe --json --hold --mem "$place/memory" --socket "$(text uffd_socket_path "$1")" --pattern "$2" \
    <"$place/hold" {hold}>&-
}

# Reads the output of a probe until it is done, and the server's report of its session.
probe_result() { # <descriptor> <record>
  local line summary='' session
  while IFS= read -r line && [[ $line != *'"type":"ready"'* ]]; do
    [[ $line != *'"type":"summary"'* ]] || summary=$line
  done <&"$1"
  (($(number good_vmms "$summary") == 1 && $(number wrong_pages "$summary") == 0))
  session=$(uffd-ctl session "$(text session_id "$2")")
  faults=$(number demand "$session") p50=$(number p50 "$session") p99=$(number p99 "$session")
}

probes_end() { # <descriptor>...
  local report
  exec {hold}>&-
  for report; do
    while IFS= read -r _; do :; done <&"$report"
    exec {report}<&-
  done
  rm "$place/hold"
  probe_pids=()
}

# The first fork touches the pages that a guest touched after it was resumed; the others touch all.
probe_serve_all() {
  local patterns=("trace:$FIXTURE/trace-work-1.txt" random seq) reports=() i report faults p50 p99
  mkfifo "$place/hold"
  exec {hold}<>"$place/hold"
  for i in 0 1 2; do
    exec {report}< <(probe_start "${records[i]}" "${patterns[i]}")
    reports+=("$report")
    probe_pids+=("$!")
  done
  printf '  %-12s %-28s %8s %12s %12s %8s\n' fork touches faults 'answer p50' 'answer p99' wrong
  for i in 0 1 2; do
    probe_result "${reports[i]}" "${records[i]}"
    printf '  %-12s %-28s %8s %12s %12s %8s\n' "$(text id "${records[i]}")" \
      "$( ((i)) && printf 'all 32768 pages, %s' "${patterns[i]}" || printf 'what a real guest touched')" \
      "$faults" "$(micro "$p50")" "$(micro "$p99")" none
    ((i)) || first_faults=$faults
  done
  probes_end "${reports[@]}"
}

probe_serve_again() { # <record>
  local report p50 p99
  mkfifo "$place/hold"
  exec {hold}<>"$place/hold"
  exec {report}< <(probe_start "$1" "trace:$FIXTURE/trace-work-1.txt")
  probe_pids+=("$!")
  probe_result "$report" "$1"
  probes_end "$report"
}

firecracker_take_base() {
  take_snapshot "$place" 'guest.seed=7 guest.zero=50'
  printf '  booted, filled, snapshotted: its pages have the %s\n' "$sum"
}

firecracker_faults() { # <id>
  number demand "$(uffd-ctl session "$(snapshot-meta session-name "$1")")"
}

# The first guest only works, so that its trace contains the pages that work needs; the others verify all their pages.
firecracker_serve_all() {
  local i id said
  printf '  %-12s %8s  %s\n' fork faults 'the guest says'
  for i in 0 1 2; do
    id=$(text id "${records[i]}")
    # The record contains the body of PUT /snapshot/load.
    vm_restore "$id" "$(jq -c .snapshot_load <<<"${records[i]}")" >/dev/null
    if ((i)); then
      said=$(vm_ask "$id" sum)
      [[ $said == "$sum" ]]
    else
      said=$(vm_ask "$id" 'work 1 2000')
      first_said=$said first_faults=$(firecracker_faults "$id")
    fi
    printf '  %-12s %8s  %s\n' "$id" "$(firecracker_faults "$id")" "$said"
    vm_pause "$id"
  done
  vm_kill_all
}

firecracker_serve_again() { # <record>
  local id
  id=$(text id "$1")
  vm_restore "$id" "$(jq -c .snapshot_load <<<"$1")" >/dev/null
  [[ $(vm_ask "$id" 'work 1 2000') == "$first_said" ]]
  faults=$(firecracker_faults "$id")
  vm_kill "$id"
  rm -rf "$place/vm" # a killed Firecracker leaves its API's socket
}

choose_back_end() {
  back_end=probe writer='Firecracker 1.16'
  [[ -n ${FIRECRACKER-} ]] || return 0
  back_end=firecracker
  skip() {
    printf 'demo: %s\n' "$1" >&2
    exit 3
  }
  bats_require_minimum_version() { :; } # a function of bats, which the helpers of the tests call
  # shellcheck source=tests/firecracker/helpers.bash
  source tests/firecracker/helpers.bash
  HELPERS=$PWD/build/default/tests
  require_firecracker
  writer=$("$firecracker" --version | head -n 1)
}

# --- The output ---------------------------------------------------------------------------------

make_template() {
  heading '1. The snapshot becomes a template'
  "${back_end}_take_base"
  try snapfork -q import base --state "$place/state" --memory "$place/memory"
  # The VM of the snapshot had no disk, so add one to share:
  head -c 64M /dev/urandom >"$SNAPFORK_ROOT/guests/base/overlay.raw"
  try snapfork -q promote base
  local memory=$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory
  printf '  verified, zero pages made holes, sealed: %s of memory in %s; beside it a disk of 64 MiB\n' \
    "$(mib "$(stat -c %s "$memory")")" "$(mib "$(du --block-size=1 "$memory" | cut -f1)")"
}

fork_three() {
  local before record
  heading '2. Three forks'
  before=$(disk_in_use)
  try snapfork -q fork --trace "$place/trace" base first >"$place/forks"
  printf '  %s s, with the start of the page server\n' "$seconds"
  try snapfork -q fork --backend uffd -n 2 base >>"$place/forks"
  printf '  %s s for two\n\n' "$seconds"
  mapfile -t records <"$place/forks"
  printf '  %-12s %16s %16s %14s\n' fork 'memory, linked' 'disk, shared' copied
  for record in "${records[@]}"; do
    printf '  %-12s %16s %16s %14s\n' "$(text id "$record")" "$(mib "$(number bytes_linked "$record")")" \
      "$(mib "$(number bytes_shared "$record")")" "$(mib "$(number bytes_copied "$record")")"
  done
  printf '  all three together take %s of disk\n' "$(kib $(($(disk_in_use) - before)))"
}

use_hot_pages() {
  local record faults
  heading '4. The hot pages of the first are sent to the fourth before it asks'
  snapfork -q delete first
  try hotpage-record record -o "$place/hot.hpl2" "$place/trace"
  try hotpage-record install base "$place/hot.hpl2"
  record=$(try snapfork -q fork --backend uffd base fourth)
  "${back_end}_serve_again" "$record"
  printf '  %d faults instead of %d: %d of them saved; no byte wrong\n' "$faults" "$first_faults" \
    $((first_faults - faults))
}

delete_all() {
  heading '5. A template with forks cannot be deleted; forks can, and then it can'
  local status=0
  try snapfork -q delete base 2>&1 | sed 's/^/  /' || status=$?
  printf '  exit status %d\n' "$status"
  ((status == 1))
  mapfile -t ids < <(snapshot-meta forks base)
  try snapfork -q delete "${ids[@]}"
  try snapfork -q delete base
}

prove_nothing_is_left() {
  local files sockets processes mounts loops
  heading '6. What is left'
  # The page server exits after its last session.
  for _ in {1..500}; do
    [[ -n $(pager_pids) ]] || break
    sleep 0.01
  done
  files=$(find "$SNAPFORK_ROOT" ! -type d ! -path '*/.snapfork/locks/*' | wc -l)
  sockets=$(find "$place" -type s | wc -l)
  processes=$(pager_pids | wc -l)
  clean_up
  mounts=$(grep -cF " $place" /proc/self/mountinfo || true)
  loops=$({ grep -lsF "$place" /sys/block/loop*/loop/backing_file || true; } | wc -l)
  printf '  files of guests %d, sockets %d, processes %d, mounts %d, loop devices %d, folder %s\n' "$files" \
    "$sockets" "$processes" "$mounts" "$loops" "$([[ -e $place ]] && printf 'there' || printf 'gone')"
  ((files + sockets + processes + mounts + loops == 0)) && [[ ! -e $place ]]
  unset place
}

main() {
  cd "$(dirname "$0")/.."
  PATH=$PWD/bin:$PATH
  exec 3>&1
  if ((EUID != 0)) && [[ $(</proc/sys/vm/unprivileged_userfaultfd) == 0 && ! -w /dev/userfaultfd ]]; then
    printf 'Not root: parts 3 to 6 need userfaultfd, so root, or sysctl vm.unprivileged_userfaultfd=1.\n\n'
  fi
  trap clean_up EXIT
  trap 'exit 130' INT
  local started=$SECONDS
  choose_back_end
  make_place
  BATS_TEST_TMPDIR=$place # the helpers of the tests put virtual machines there
  make_template
  fork_three
  heading '3. All three at once are served, page by page, and every byte is compared'
  "${back_end}_serve_all"
  use_hot_pages
  delete_all
  prove_nothing_is_left
  printf '\n%d s in all%s.\n' $((SECONDS - started)) \
    "$( ((${BUILD_SECONDS:-0} < 2)) || printf ', after %d s of building' "$BUILD_SECONDS")"
}

main "$@"
