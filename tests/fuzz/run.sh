#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one fuzz target: first all earlier findings and all seeds, then new inputs for FUZZ_SECONDS (10). Called by
# `make check` and `make check-fuzz`: tests/fuzz/run.sh NAME. Exit status 77: it cannot run here.
set -euo pipefail
shopt -s inherit_errexit nullglob

main() {
  local name=$1 seconds=${FUZZ_SECONDS:-10} status=0 log options inputs
  cd "$(dirname "$0")/../.."
  local target=build/fuzz/$name found=tests/fuzz/found/$name seeds=tests/fuzz/seeds/$name
  if [[ ! -x $target ]]; then
    printf 'fuzz target %s: not built, needs clang with libFuzzer\n' "$name"
    return 77
  fi
  mkdir -p "$found" "$target.corpus"
  log=$target.log
  # The corpus run finds leaks at its end; a check after each input halves the rate.
  options=(-timeout=10 -rss_limit_mb=1024 "-artifact_prefix=$found/")
  [[ ! -e tests/fuzz/$name.dict ]] || options+=("-dict=tests/fuzz/$name.dict")
  inputs=("$found"/* "$seeds"/*)
  "$target" "${options[@]}" "${inputs[@]}" >"$log" 2>&1 || status=$?
  if ((!status)); then
    "$target" "${options[@]}" -detect_leaks=0 -max_len=4096 -print_final_stats=1 "-max_total_time=$seconds" \
      "$target.corpus" "$seeds" >"$log" 2>&1 || status=$?
  fi
  rm -rf "$target.corpus"
  if ((status)); then
    grep -vE '^#[0-9]+[[:space:]]' "$log" || true
    printf 'fuzz target %s: failed; the input is in %s and stays as a test\n' "$name" "$found"
    return 1
  fi
  printf '%s: %d kept inputs, %s new ones\n' "$name" "${#inputs[@]}" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
}

main "$@"
