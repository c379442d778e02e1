#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the benchmarks and writes bench/RESULTS.md. Each bench-*.sh prints rows of a markdown table:
# | what | measured | aim | command |
set -euo pipefail
shopt -s inherit_errexit

main() {
  cd "$(dirname "$0")/.."
  local scripts=(bench/bench-*.sh) results=bench/RESULTS.md script
  (($#)) && scripts=("$@")
  {
    printf '# Measured\n\n'
    printf 'make bench writes this page. Ratios compare two figures of one run on one machine; read those, not the microseconds.\n\n'
    printf 'Machine: %s, %d CPUs, Linux %s. Date: %s.\n\n' \
      "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r)" "$(date -u +%F)"
    printf '| what | measured | aim | command |\n|---|---|---|---|\n'
    for script in "${scripts[@]}"; do
      printf 'bench: %s\n' "$script" >&2
      "$script"
    done
  } >"$results.new"
  mv "$results.new" "$results"
  cat "$results"
}

main "$@"
