#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the benchmarks and writes bench/RESULTS.md. Each bench-*.sh prints rows of a markdown table:
# | what | measured | aim | command |
# and some write the data of a picture to bench/raw/NAME.json, of which bench/pictures/NAME.svg is made (bench/picture.jq).
# PEERS=DIR: bench-faults.sh also measures the page servers in DIR. Arguments: the scripts to run.
set -euo pipefail
shopt -s inherit_errexit

# The pictures in the order of the page, with the script that repeats each.
readonly pictures=(fault-latency:bench-faults.sh fill:bench-window.sh memory:bench-window.sh
  fork-by-size:bench-sizes.sh guard-by-guests:bench-meta.sh)

draw() {
  local picture name
  mkdir -p bench/pictures
  for picture in "${pictures[@]}"; do
    name=${picture%%:*}
    [[ -s bench/raw/$name.json ]] || continue
    jq -r -f bench/picture.jq "bench/raw/$name.json" >"bench/pictures/$name.svg"
    printf '![%s](pictures/%s.svg)\n\n' "$(jq -r .title "bench/raw/$name.json")" "$name"
    # shellcheck disable=SC2016 # Markdown
    printf 'Data: [raw/%s.json](raw/%s.json), by `bench/%s`. Gray: the limit of the kernel, in the same run.\n\n' "$name" "$name" "${picture#*:}"
  done
}

main() {
  cd "$(dirname "$0")/.."
  local scripts=(bench/bench-*.sh) results=bench/RESULTS.md rows script
  (($#)) && scripts=("$@")
  rows=$(mktemp)
  # shellcheck disable=SC2064 # the file of now
  trap "rm -f '$rows'" EXIT
  for script in "${scripts[@]}"; do
    printf 'bench: %s\n' "$script" >&2
    "$script" >>"$rows"
  done
  {
    printf '# Measured\n\n'
    # shellcheck disable=SC2016 # Markdown
    printf '`make bench` writes this page. Ratios compare two figures of one run on one machine; read those, not the microseconds.\n\n'
    printf 'Machine: %s, %d CPUs, Linux %s. Date: %s.\n\n' \
      "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r)" "$(date -u +%F)"
    draw
    printf '| what | measured | aim | command |\n|---|---|---|---|\n'
    cat "$rows"
  } >"$results.new"
  mv "$results.new" "$results"
  cat "$results"
}

main "$@"
