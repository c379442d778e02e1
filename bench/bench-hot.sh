#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Hot lists: decoding, single pages, packed against scattered, and demand faults beside a cold list on a slow disk. Prints rows
# of bench/RESULTS.md. Medians of the rounds. FIXTURES: a directory with traces of two jobs of a guest (work-1.txt, work-2.txt).
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=5 pages=20000
dir=
servers=() server_core=() guest_core=()

# shellcheck source=bench/page_server.bash
source bench/page_server.bash
# shellcheck source=bench/disk.bash
source bench/disk.bash

cleanup() {
  local pid
  for pid in "${servers[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  [[ -z $dir ]] || { remove_disk && rm -rf "$dir"; }
}

bench_decode() {
  local format line
  "$HELPERS/bench-pager" decode --pages 3000000 --rounds "$rounds" >"$dir/decode"
  for format in hpl1 hpl2; do
    line=$(jq -r "select(.format == \"$format\") | [.bytes, .ns, .pages] | @tsv" "$dir/decode")
    read -r bytes ns count <<<"$line"
    row "list of $count isolated pages, ${format^^}: decoding" \
      "$((bytes * 1000 / ns)) MB/s ($((ns / 1000000)) ms; $(ratio "$bytes" "$count") bytes a page)" '200 MB/s' \
      "\`bench-pager decode --pages $count\`"
  done
  "$HELPERS/bench-pager" decode --pages "$pages" --rounds "$rounds" >"$dir/decode"
  line=$(jq -r 'select(.format == "hpl2") | [.bytes, .ns, .pages] | @tsv' "$dir/decode")
  read -r bytes ns count <<<"$line"
  row "list of $count isolated pages, HPL2: decoding" "$((bytes * 1000 / ns)) MB/s ($((ns / 1000)) us)" '200 MB/s' \
    "\`bench-pager decode --pages $count\`"
}

bench_single_pages() {
  local line
  chmod 0444 "$dir/memory" # sealed, as that of a template
  line=$("$HELPERS/bench-pager" install --mem "$dir/memory" --pages "$pages" --run 1 --rounds 9)
  row "list of $pages pages without neighbors, rate as a share of a loop of 4 KiB UFFDIO_COPY over the same pages, in the same order (in ascending order)" \
    "$(jq -r 'def share: . * 100 | round / 100 | tostring; (.raw_pages_ns / .hot_list_ns | share)
      + " (" + (.raw_sorted_ns / .hot_list_ns | share) + "; \(.hot_list_ns / .pages | floor) ns a page)"' <<<"$line")" \
    0.95 "\`bench-pager install --run 1\`"
}

trace_of() { # <page>... on standard input
  sed '1i# snapfork-trace 1 page_size=4096 memory_bytes=268435456 regions=0+268435456'
}

# Milliseconds from the handshake to the last page of a list.
installed_ms() { # <list>
  local start
  rm -f "$dir/started" "$dir/s" "$dir/log"
  (on_disk uffd-serve --mem "$memory" --socket "$dir/s" --lazy --hot "$1" -v --ready-fd 9 9>"$dir/started" 2>"$dir/log") &
  servers+=($!)
  until [[ -s $dir/started ]]; do sleep 0.01; done
  rm -f "$dir/hold" && mkfifo "$dir/hold"
  exec 7<>"$dir/hold"
  start=${EPOCHREALTIME/./}
  uffd-probe --mem "$copy" --socket "$dir/s" --pages 1 --hold <"$dir/hold" >/dev/null 2>&1 7>&- &
  local probe=$!
  until grep -q 'hot list installed' "$dir/log"; do
    kill -0 "${servers[0]}" || return 1
    sleep 0.002
  done
  echo $(((${EPOCHREALTIME/./} - start) / 1000))
  # shellcheck disable=SC2046 # pids
  kill -KILL $(cat "/proc/$probe/task/$probe/children") "$probe" 2>/dev/null || true
  wait "$probe" 2>/dev/null || true
  exec 7>&-
  kill -KILL "${servers[@]}"
  wait "${servers[@]}" 2>/dev/null || true
  servers=()
}

# A disk as clouds have it: 3000 reads and 125 MiB a second.
bench_packed() {
  local i cold packed cache
  seq 0 3 65535 | shuf --random-source=<(yes) -n "$pages" | trace_of >"$dir/trace"
  hotpage-record record --format hpl2 -o "$disk/list" "$dir/trace"
  hotpage-record pack --mem "$memory" -o "$disk/packed" "$disk/list"
  for cache in cold warm; do
    for ((i = 0; i < rounds; ++i)); do
      for kind in list packed; do
        limit_disk 0 0
        if [[ $cache == cold ]]; then make_cold "$memory" "$disk/packed"; else cat "$memory" >/dev/null; fi
        limit_disk $((125 << 20)) 3000
        installed_ms "$disk/$kind" >>"$dir/$kind.ms"
      done
    done
    cold=$(median <"$dir/list.ms") packed=$(median <"$dir/packed.ms")
    row "to the last of $pages scattered hot pages, packed, times faster than the list, $cache page cache, disk of 3000 reads and 125 MiB a second" \
      "$(ratio "$cold" "$packed") ($packed ms, $cold ms)" "$([[ $cache == cold ]] && echo 3 || echo 'no slower')" \
      "\`hotpage-record pack\`, \`uffd-serve --hot\`"
    rm -f "$dir"/*.ms
  done
  limit_disk 0 0
}

# Nanoseconds of the p99 of demand faults for 300 other pages.
needed_p99() { # <uffd-serve option>...
  limit_disk 0 0
  make_cold "$memory" "$disk/packed"
  limit_disk $((8 << 20)) 0
  rm -f "$dir/started" "$dir/s"
  (on_disk uffd-serve --mem "$memory" --socket "$dir/s" --ready-fd 9 "$@" 9>"$dir/started" 2>/dev/null) &
  servers+=($!)
  until [[ -s $dir/started ]]; do sleep 0.01; done
  uffd-probe --json --deadline 60 --pattern "trace:$dir/need" --socket "$dir/s" --mem "$copy" --pages 300 | jq -r .p99_ns
  kill -KILL "${servers[@]}"
  wait "${servers[@]}" 2>/dev/null || true
  servers=()
}

bench_faults_beside_cold_list() {
  local i kind without with
  seq 32768 4 65535 | shuf --random-source=<(yes) -n 4000 | trace_of >"$dir/trace"
  hotpage-record record --format hpl2 -o "$disk/list" "$dir/trace"
  hotpage-record pack --mem "$memory" -o "$disk/packed" "$disk/list"
  seq 0 107 32767 | shuf --random-source=<(yes) -n 300 >"$dir/need"
  for ((i = 0; i < rounds; ++i)); do
    needed_p99 >>"$dir/without.ns"
    for kind in list packed; do
      needed_p99 --hot "$disk/$kind" >>"$dir/$kind.ns"
    done
  done
  without=$(median <"$dir/without.ns")
  for kind in list packed; do
    with=$(median <"$dir/$kind.ns")
    row "demand fault p99 beside a cold hot list of 4000 pages ($kind), disk of 8 MiB a second, as a ratio to that without a list" \
      "$(ratio "$with" "$without") ($((with / 1000)) us, $((without / 1000)) us)" 2.0 "\`uffd-probe --pattern trace:need\`"
  done
  limit_disk 0 0
  rm -f "$dir"/*.ns
}

# A VMM on the File back end that touches the pages of a list, from a cold page cache.
bench_warm() {
  local i cold warm started
  seq 0 3 65535 | trace_of >"$dir/trace"
  hotpage-record record --format hpl2 -o "$dir/list" "$dir/trace"
  for ((i = 0; i < rounds; ++i)); do
    make_cold "$dir/memory"
    touched total_ns --step 3 >>"$dir/cold.ns"
    make_cold "$dir/memory"
    started=${EPOCHREALTIME/./}
    hotpage-record warm -q --mem "$dir/memory" "$dir/list"
    echo $(((${EPOCHREALTIME/./} - started) * 1000)) >>"$dir/warming.ns"
    touched total_ns --step 3 >>"$dir/warm.ns"
  done
  cold=$(median <"$dir/cold.ns") warm=$(median <"$dir/warm.ns")
  # shellcheck disable=SC2016 # Markdown
  row 'touches of 21846 hot pages on the File back end, cold page cache, times faster after `hotpage-record warm`' \
    "$(ratio "$cold" "$warm") ($((warm / 1000000)) ms, $((cold / 1000000)) ms; warming $(($(median <"$dir/warming.ns") / 1000000)) ms)" '-' \
    "\`bench-pager touch --step 3\`"
  rm -f "$dir"/*.ns
}

# Share of the faults of a job that a list leaves.
left() { # <list> <list of the job>
  hotpage-record diff --json "$1" "$2" | jq -r '(.only_second * 1000 / (.both + .only_second) | round / 10 | tostring) + " %"'
}

bench_real_jobs() { # <directory with traces>
  local job
  for job in 1 2; do
    sed '1i# snapfork-trace 1 page_size=4096 memory_bytes=134217728 regions=0+134217728' "$1/work-$job.txt" \
      | hotpage-record record --format hpl2 -o "$dir/work-$job" -
  done
  hotpage-record merge -o "$dir/union" "$dir/work-1" "$dir/work-2"
  hotpage-record merge --majority 2 -o "$dir/majority" "$dir/work-1" "$dir/work-2"
  row 'faults that a list leaves to a guest, of its own job, of the other job; union, majority' \
    "$(left "$dir/work-1" "$dir/work-1"), $(left "$dir/work-1" "$dir/work-2"); $(left "$dir/union" "$dir/work-2"), $(left "$dir/majority" "$dir/work-2")" \
    'at most 3 % of the same job' "traces of ${1##*firecracker-}"
}

main() {
  cd "$(dirname "$0")/.."
  export PATH=$PWD/bin:$PATH
  HELPERS=${HELPERS:-$PWD/build/default/tests}
  local what=(decode single_pages packed faults_beside_cold_list warm real_jobs)
  (($#)) && what=("$@")
  dir=$(mktemp -d /tmp/bench.XXXXXX)
  trap cleanup EXIT
  head -c 256M /dev/urandom >"$dir/memory"
  local each slow=
  for each in "${what[@]}"; do
    case $each in
      packed | faults_beside_cold_list)
        if [[ -z $slow ]]; then
          slow=yes
          make_disk 1000 || slow=no
          memory=$disk/memory copy=$dir/memory
          [[ $slow == no ]] || cp "$dir/memory" "$memory"
          [[ $slow == no ]] || chmod 0444 "$memory"
        fi
        if [[ $slow == no ]]; then
          row "$each" 'not measured: no cgroup limits a disk here' '-' '-'
          continue
        fi
        ;;
      real_jobs)
        for fixtures in "${FIXTURES-}" ../shared/fixtures/firecracker-*/traces; do
          [[ ! -e $fixtures/work-1.txt ]] || bench_real_jobs "$fixtures"
        done
        continue
        ;;
    esac
    "bench_$each"
  done
}

main "$@"
