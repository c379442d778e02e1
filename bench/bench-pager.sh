#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# uffd-serve compared with one page per fault, and hot lists with raw UFFDIO_COPY. Prints rows of
# bench/RESULTS.md. Medians of five rounds; the two servers run in turn.
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=5 pages=20000
dir=
servers=()
# Prefixes of the commands of server and guest, for figures that depend on whether they share a core.
server_core=() guest_core=()
huge_pages= # the size of the pool before pages were added

# shellcheck source=bench/page_server.bash
source bench/page_server.bash

cleanup() {
  local pid
  for pid in "${servers[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
  done
  [[ -z $huge_pages ]] || return_huge_pages
  [[ -z $dir ]] || rm -rf "$dir"
}

# The odd pages are touched while the even ones are installed.
bench_p99_beside_list() {
  local i idle busy page
  {
    echo '# snapfork-trace 1 page_size=4096 memory_bytes=268435456 regions=0+268435456'
    for ((page = 0; page < 65536; page += 2)); do echo "$page"; done
  } >"$dir/trace"
  hotpage-record record "$dir/trace" >"$dir/hot"
  for ((i = 0; i < rounds; ++i)); do
    start_ours --lazy
    touched p99_ns --socket "$dir/ours" --step 2 --first 1 --pages 4000 >>"$dir/idle.all"
    stop_servers
    start_ours --lazy --hot "$dir/hot"
    touched p99_ns --socket "$dir/ours" --step 2 --first 1 --pages 4000 >>"$dir/busy.all"
    stop_servers
  done
  idle=$(median <"$dir/idle.all") busy=$(median <"$dir/busy.all")
  row 'demand fault p99 while a hot list is installed, as a ratio to idle' \
    "$(ratio "$busy" "$idle") ($busy ns, $idle ns)" 1.5 "\`uffd-serve --lazy --hot hot\`, \`bench-pager touch --step 2\`"
  rm -f "$dir"/*.all
}

bench_p99_beside_completion() {
  local i idle busy control=$dir/c.sock completing
  rm -f "$dir/started"
  "${server_core[@]}" uffd-serve --control "$control" --lazy --ready-fd 9 9>"$dir/started" &
  servers+=($!)
  until [[ -s $dir/started ]]; do :; done
  for ((i = 0; i < rounds; ++i)); do
    uffd-ctl --control "$control" create "a=$dir/memory" >/dev/null
    touched p99_ns --socket "$dir/s/a.sock" --pages 4000 >>"$dir/idle.all"
    uffd-ctl --control "$control" create "b=$dir/memory" >/dev/null
    touched p99_ns --socket "$dir/s/b.sock" --pages 4000 >>"$dir/busy.all" &
    completing=$!
    until uffd-ctl --control "$control" complete b 2>/dev/null; do
      kill -0 "$completing" 2>/dev/null || break
    done
    wait "$completing"
  done
  idle=$(median <"$dir/idle.all") busy=$(median <"$dir/busy.all")
  row 'demand fault p99 while the session is completed, as a ratio to idle' \
    "$(ratio "$busy" "$idle") ($busy ns, $idle ns)" 1.5 "\`uffd-ctl complete b\`, \`bench-pager touch\`"
  stop_servers
  rm -f "$dir"/*.all
}

bench_zero_runs() {
  truncate -s 256M "$dir/hole"
  local ns
  ns=$(for ((i = 0; i < rounds; ++i)); do
    "$HELPERS/bench-pager" zero --mem "$dir/hole" | jq -r .ns_per_page
  done | median)
  row 'zero runs, a page' "$ns ns" '200 ns' "\`bench-pager zero\` on 256 MiB of hole"
}

# Compares the back ends as users see them: which is faster, and when.
bench_backends() {
  local cache i file ahead uffd hot
  for ((i = 0; i < 65536; i += 3)); do echo "$i"; done | sed '1i# snapfork-trace 1 page_size=4096 memory_bytes=268435456 regions=0+268435456' >"$dir/trace"
  hotpage-record record "$dir/trace" >"$dir/hot"
  for cache in warm cold; do
    for ((i = 0; i < rounds; ++i)); do
      forget "$cache"
      touched total_ns --step 3 --pages "$pages" >>"$dir/file.ms"
      forget "$cache"
      touched_after_readahead >>"$dir/ahead.ms"
      start_ours
      forget "$cache"
      touched total_ns --socket "$dir/ours" --step 3 --pages "$pages" >>"$dir/uffd.ms"
      stop_servers
      start_ours --hot "$dir/hot"
      forget "$cache"
      touched total_ns --socket "$dir/ours" --step 3 --pages "$pages" >>"$dir/hot.ms"
      stop_servers
    done
    file=$(median <"$dir/file.ms") uffd=$(median <"$dir/uffd.ms") hot=$(median <"$dir/hot.ms")
    ahead=$(median <"$dir/ahead.ms")
    row "$pages random pages, $cache page cache: file mapping, file mapping after \`hotpage-record readahead\` (with its time), uffd, uffd with a list (ms)" \
      "$((file / 1000000)), $((ahead / 1000000)), $((uffd / 1000000)), $((hot / 1000000))" '-' "\`bench-pager touch --step 3\`"
    rm -f "$dir"/*.ms
  done
}

# Prints the nanoseconds of the readahead and of the touches that follow.
touched_after_readahead() {
  local started=${EPOCHREALTIME/./} touch
  hotpage-record readahead --mem "$dir/memory" "$dir/hot"
  started=$((${EPOCHREALTIME/./} - started))
  touch=$(touched total_ns --step 3 --pages "$pages")
  echo $((started * 1000 + touch))
}

forget() { # <warm|cold>
  if [[ $1 == cold ]]; then
    dd if="$dir/memory" iflag=nocache count=0 status=none
  else
    cat "$dir/memory" >/dev/null
  fi
}

# 64 VMMs at once: their memory in the server, and its work for a fault. The rounds run in turn.
bench_many() {
  local alone many before after sockets=() i
  start_ours --lazy -q
  before=$(anonymous_kib)
  for ((i = 0; i < 64; ++i)); do sockets+=("$dir/ours"); done
  for ((i = 0; i < rounds; ++i)); do
    held_ns_per_fault 60000 "$dir/ours" >>"$dir/alone.ns"
    held_ns_per_fault 2000 "${sockets[@]}" >>"$dir/many.ns"
  done
  alone=$(median <"$dir/alone.ns") many=$(median <"$dir/many.ns")
  after=$(<"$dir/anonymous")
  row 'CPU for a fault, 64 sessions as a ratio to one' "$(ratio "$many" "$alone") ($many ns, $alone ns)" 1.2 \
    "\`uffd-probe --socket ... --hold\`, time on a core of the server's threads"
  row 'memory of a session of 256 MiB' "$(((after - before) / 64)) KiB" '272 KiB' 'RssAnon of the server'
  stop_servers
}

anonymous_kib() {
  awk '/^RssAnon:/ { print $2 }' "/proc/${servers[0]}/status"
}

# Prints for each session thread its nanoseconds on a core, one per line.
session_threads() {
  local task name
  for task in "/proc/${servers[0]}/task"/*; do
    { read -r name <"$task/comm" && [[ $name == 'vm '* ]] && cut -d ' ' -f 1 "$task/schedstat"; } 2>/dev/null || true
  done
}

# Starts VMMs that touch that many pages, and stay until release_vmms.
hold_vmms() { # <pages> <socket>...
  local touched_pages=$1 options=() socket line=''
  shift
  for socket; do options+=(--socket "$socket"); done
  rm -f "$dir/hold"
  mkfifo "$dir/hold"
  exec {hold}<>"$dir/hold"
  exec {said}< <(exec uffd-probe --mem "$dir/memory" "${options[@]}" --pages "$touched_pages" --hold \
    <"$dir/hold" {hold}>&-)
  while [[ $line != ready ]]; do IFS= read -r line <&"$said"; done
}

release_vmms() {
  exec {hold}>&-
  while IFS= read -r _; do :; done <&"$said" # until the VMMs have ended
  exec {said}<&-
  until [[ -z $(session_threads) ]]; do :; done
}

held_ns_per_fault() { # <pages> <socket>...
  hold_vmms "$@"
  session_threads | awk -v faults=$(($1 * ($# - 1))) '{ ns += $1 } END { printf "%d\n", ns / faults }'
  anonymous_kib >"$dir/anonymous"
  release_vmms
}

# For VMMs that have all of their memory.
bench_farewell() {
  local i vmm worst
  rm -f "$dir/started"
  uffd-serve --control "$dir/c.sock" --ready-fd 9 9>"$dir/started" &
  servers+=($!)
  until [[ -s $dir/started ]]; do :; done
  for ((i = 0; i < 20; ++i)); do
    uffd-ctl --control "$dir/c.sock" create "a=$dir/memory" >/dev/null
    hold_vmms 65536 "$dir/s/a.sock"
    read -r vmm _ <"$dir/s/a.vmm"
    "$HELPERS/bench-pager" farewell --vmm "$vmm" --server "${servers[0]}" --record "$dir/s/a.vmm" | jq .ns >>"$dir/farewell.ns"
    release_vmms
  done
  worst=$(sort -n "$dir/farewell.ns" | tail -n 1)
  row 'end of a VMM until its server has given up its userfaultfd and its record, median and slowest of 20' \
    "$(sort -n "$dir/farewell.ns" | sed -n 10p | awk '{ printf "%.2f", $1 / 1e6 }') ms, $(awk -v ns="$worst" 'BEGIN { printf "%.2f", ns / 1e6 }') ms" \
    '10 ms' "\`kill -9\` of a VMM of 256 MiB"
  stop_servers
}

# A service with an idle guest, and sessions without a VMM.
bench_idle() {
  local i before seconds=5
  rm -f "$dir/started"
  uffd-serve --control "$dir/c.sock" --ready-fd 9 9>"$dir/started" &
  servers+=($!)
  until [[ -s $dir/started ]]; do :; done
  for i in a b c; do uffd-ctl --control "$dir/c.sock" create "$i=$dir/memory" >/dev/null; done
  hold_vmms 100 "$dir/s/a.sock"
  before=$(wakeups)
  sleep "$seconds"
  row 'wakeups of an idle service, one guest served and two waited for' \
    "$(($(wakeups) - before)) in $seconds s" 0 "context switches of \`uffd-serve\`"
  release_vmms
  stop_servers
}

wakeups() {
  cat "/proc/${servers[0]}/task"/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'
}

return_huge_pages() {
  echo "$huge_pages" >/proc/sys/vm/nr_hugepages
  huge_pages=
}

# With 2 MiB pages, from the pool, which is enlarged for this.
bench_huge() {
  local pool=/proc/sys/vm/nr_hugepages what='hot list of 100 pages of 2 MiB, rate as a share of a raw UFFDIO_COPY of 2 MiB each'
  local line
  if [[ ! -w $pool ]]; then
    row "$what" 'skipped: no right to reserve huge pages' 0.9 '-'
    return
  fi
  huge_pages=$(<"$pool")
  echo $((huge_pages + 130)) >"$pool"
  if (($(<"$pool") < huge_pages + 130)); then
    return_huge_pages
    row "$what" 'skipped: no huge pages available' 0.9 '-'
    return
  fi
  line=$("$HELPERS/bench-pager" install --huge --mem "$dir/memory" --pages 100 --run 1 --rounds "$rounds")
  return_huge_pages
  row "$what" \
    "$(jq -r '.percent_of_raw / 100' <<<"$line") ($(jq -r '.hot_list_ns / .pages / 1000 | floor' <<<"$line") us a page)" \
    0.9 "\`bench-pager install --huge --run 1\`"
}

bench_install() { # <neighbors in a run> <what> <aim>
  local line
  chmod 0444 "$dir/memory" # sealed, as that of a template
  line=$("$HELPERS/bench-pager" install --mem "$dir/memory" --pages "$pages" --run "$1" --rounds "$rounds")
  row "hot list of $pages pages, $2, rate as a share of a raw 64 KiB UFFDIO_COPY loop" \
    "$(jq -r '.percent_of_raw / 100' <<<"$line") ($(jq -r '.hot_list_ns / .pages | floor' <<<"$line") ns a page)" \
    "$3" "\`bench-pager install --run $1\`"
}

bench_client() {
  local best
  uffd-serve --control "$dir/c.sock" --ready-fd 9 9>"$dir/started" &
  servers+=($!)
  until [[ -s $dir/started ]]; do :; done
  best=$(hyperfine -N --warmup 20 --runs 200 --export-json /dev/stdout --style none \
    "uffd-ctl --control $dir/c.sock create a=$dir/memory" | jq -r '.results[0].median * 1e6 | floor')
  row "\`uffd-ctl create\`, start to end" "$best us" "2000 us" "\`hyperfine -N 'uffd-ctl create a=memory'\`"
  kill "${servers[@]}"
  wait "${servers[@]}" 2>/dev/null || true
  servers=()
}

main() {
  trap cleanup EXIT
  dir=$(mktemp -d)
  head -c $((256 << 20)) /dev/urandom >"$dir/memory"
  chmod 444 "$dir/memory"
  bench_install 16 'runs of 16 neighbors' 0.9
  bench_install 1 'no neighbors' '-'
  bench_huge
  (($(nproc) < 2)) || server_core=(taskset -c 1) guest_core=(taskset -c 0)
  bench_p99_beside_list
  bench_p99_beside_completion
  server_core=() guest_core=()
  bench_zero_runs
  bench_many
  bench_idle
  bench_farewell
  bench_backends
  bench_client
}

main "$@"
