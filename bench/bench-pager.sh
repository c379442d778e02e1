#!/usr/bin/env bash
# uffd-serve against the smallest loop that answers faults, and hot lists against raw UFFDIO_COPY.
# Prints rows of bench/RESULTS.md. Medians of five rounds; the two servers take turns.
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=5 pages=20000
dir=
servers=()

cleanup() {
  local pid
  for pid in "${servers[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
  done
  [[ -z $dir ]] || rm -rf "$dir"
}

median() {
  sort -n | sed -n "$(((rounds + 1) / 2))p"
}

# p50 in ns of random faults that the server at SOCKET answers, the guest on CPU 0
fault_p50() { # <socket>
  uffd-probe --mem "$dir/memory" --socket "$1" --pages "$pages" --cpu 0 --json \
    | jq -r 'select(.type == "summary").p50_ns'
}

row() { # <what> <measured> <aim> <command>
  printf '| %s | %s | %s | %s |\n' "$@"
}

ratio() { # <a> <b>
  awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

bench_faults() { # <cpu of the servers> <name> <aim>
  local cpu=$1 name=$2 aim=$3
  mkfifo "$dir/ready"
  taskset -c "$cpu" uffd-serve --mem "$dir/memory" --socket "$dir/ours" --ready-fd 9 9>"$dir/ready" &
  servers+=($!)
  read -r _ <"$dir/ready"
  taskset -c "$cpu" "$HELPERS/bench-pager" serve --mem "$dir/memory" --socket "$dir/theirs" >"$dir/ready" &
  servers+=($!)
  read -r _ <"$dir/ready"
  rm "$dir/ready"
  fault_p50 "$dir/ours" >/dev/null # the first round warms the page cache
  local i ours theirs
  for ((i = 0; i < rounds; ++i)); do
    fault_p50 "$dir/ours" >>"$dir/ours.ns"
    fault_p50 "$dir/theirs" >>"$dir/theirs.ns"
  done
  ours=$(median <"$dir/ours.ns")
  theirs=$(median <"$dir/theirs.ns")
  row "demand fault p50, $name, as a ratio to a minimal read-pread-COPY loop ($theirs ns)" \
    "$(ratio "$ours" "$theirs") ($ours ns)" "$aim" \
    "\`taskset -c $cpu uffd-serve ...; uffd-probe --cpu 0 --pages $pages\`"
  kill "${servers[@]}"
  wait "${servers[@]}" 2>/dev/null || true
  servers=()
  rm -f "$dir"/*.ns "$dir/ours" "$dir/theirs"
}

bench_install() { # <neighbours in a run> <what> <aim>
  local line
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
    "uffd-serve ctl --control $dir/c.sock create a=$dir/memory" | jq -r '.results[0].median * 1e6 | floor')
  row "\`uffd-serve ctl create\`, start to end" "$best us" "2000 us" "\`hyperfine -N 'uffd-serve ctl create a=memory'\`"
  kill "${servers[@]}"
  wait "${servers[@]}" 2>/dev/null || true
  servers=()
}

main() {
  trap cleanup EXIT
  dir=$(mktemp -d)
  head -c $((256 << 20)) /dev/urandom >"$dir/memory"
  chmod 444 "$dir/memory"
  bench_faults 0 'same core' 1.15
  (($(nproc) < 2)) || bench_faults 1 'across cores' 1.05
  bench_install 16 'runs of 16 neighbours' 0.9
  bench_install 1 'no neighbours' '-'
  bench_client
}

main "$@"
