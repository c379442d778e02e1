#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a keeper costs, and how long guests wait when a page server is killed. Prints rows of bench/RESULTS.md.
# Faults: medians of 15 pairs with and without a keeper, in both orders; guest and server on one core.
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=15 pages=8000
dir=
servers=() server_core=() guest_core=()

# shellcheck source=bench/page_server.bash
source bench/page_server.bash

# The server that serves: the oldest child of a keeper, or the process itself.
serving_pid() { # <pid>
  local children
  read -r children <"/proc/$1/task/$1/children" || true
  printf '%s\n' "${children%% *}" | grep . || printf '%s\n' "$1"
}

# Adds the time of a fault and the processor time of the server for each to the file NAME.
touch_pages() { # <name> <option of uffd-serve>...
  local name=$1
  shift
  start_ours -q "$@" 2>>"$dir/log"
  "${guest_core[@]}" "$HELPERS/fault-floor" touch "$dir/ours" "$dir/memory" "$pages" "$(serving_pid "${servers[-1]}")" "$dir/last" >>"$dir/$name"
  stop_servers
}

# The median over the pairs of with / without.
ratio_of_pairs() { # <field>
  paste <(jq ".$1" "$dir/with") <(jq ".$1" "$dir/without") | awk '{ print $1 / $2 }' | median
}

median_of() { # <name> <field>
  jq ".$2" "$dir/$1" | median
}

bench_faults() {
  local pair field
  for ((pair = 0; pair < rounds; ++pair)); do
    if ((pair % 2)); then
      touch_pages with --keep
      touch_pages without
    else
      touch_pages without
      touch_pages with --keep
    fi
  done
  for field in p50 cpu; do
    row "demand fault with a keeper, $field: as a multiple of that without" \
      "$(printf "%.3f" "$(ratio_of_pairs "${field}_ns")") ($(median_of with "${field}_ns") ns, $(median_of without "${field}_ns") ns)" 1.02 \
      "\`uffd-serve --keep\`, \`fault-floor touch\`"
  done
}

# User and system time of a process, in clock ticks.
cpu_of() { # <pid>
  local stat
  stat=$(<"/proc/$1/stat")
  # shellcheck disable=SC2086 # fields
  set -- ${stat##*) }
  printf '%s\n' "$((${12} + ${13}))"
}

# The directory is on tmpfs, so the state of the session is a file there.
bench_session() {
  local before bytes page_count vmm
  page_count=$(($(stat -c %s "$dir/memory") / 4096))
  uffd-serve -q --keep --control "$dir/control" --ready-fd 9 9>"$dir/ready" 2>>"$dir/log" &
  servers+=($!)
  until [[ -s $dir/ready ]]; do :; done
  uffd-ctl --control "$dir/control" create vm="$dir/memory" >/dev/null
  mkfifo "$dir/hold"
  uffd-probe --mem "$dir/memory" --socket "$dir/s/vm.sock" --pages 100 --hold <"$dir/hold" >"$dir/vmm.log" &
  vmm=$!
  exec 8>"$dir/hold"
  until grep -q ready "$dir/vmm.log"; do :; done
  bytes=$(find "$dir/s" -name '*.state' -printf '%s\n')
  row 'memory of the state of a session, for 256 MiB: KiB beyond 3 bits for each page' \
    "$((bytes / 1024 - page_count * 3 / 8 / 1024)) (of $((bytes / 1024)))" 256 "\`uffd-serve --keep\`, \`stat\`"
  before=$(cpu_of "${servers[-1]}")
  sleep 5
  row 'processor time of a keeper with a session in 5 s: ticks' "$(($(cpu_of "${servers[-1]}") - before))" 0 \
    "\`uffd-serve --keep\`, \`/proc/PID/stat\`"
  exec 8>&-
  wait "$vmm"
  stop_servers
}

# Guests on one core, servers on the other.
bench_kills() {
  local guests report start i
  for ((i = 0; i < rounds; ++i)); do
    start=$EPOCHREALTIME
    "${server_core[@]}" uffd-serve --version >/dev/null
    printf '%s\n' $((${EPOCHREALTIME/./} - ${start/./}))
  done >"$dir/starts"
  start=$(median <"$dir/starts")
  for guests in 1 8; do
    report=$("${server_core[@]}" uffd-keeper --kill-test --json --kills "${KILLS:-300}" --guests "$guests" --guest-cpu 0)
    row "wait of a guest around a kill of the server, $guests guests: median, p99 (ms)" \
      "$(jq -r '[.wait_median_ns, .wait_p99_ns] | map(. / 1e4 | round / 100 | tostring) | join(", ")' <<<"$report")" '2, 10' \
      "\`uffd-keeper --kill-test\`"
    row "the same median as a multiple of the time of \`uffd-serve --version\` ($start us)" \
      "$(ratio "$(jq .wait_median_ns <<<"$report")" $((start * 1000)))" - "\`uffd-keeper --kill-test\`"
  done
}

main() {
  trap cleanup EXIT
  (($(nproc) < 2)) || server_core=(taskset -c 1)
  dir=$(mktemp -d /dev/shm/bench-keeper.XXXXXX)
  head -c $((256 << 20)) /dev/urandom >"$dir/memory"
  chmod a-w "$dir/memory"
  bench_kills
  bench_session
  server_core=(taskset -c 0) guest_core=(taskset -c 0)
  bench_faults
}

main "$@"
