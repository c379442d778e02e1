#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test, two files at a time, and ends with "N passed, N failed, N skipped".
# Called by `make check`: tests/run-all.sh BIN-DIR BUILD-DIR.
set -euo pipefail
shopt -s inherit_errexit nullglob

run_unit() { # <build dir> <log>
  tests/run-unit.sh "$1/tests/unit-tests" >"$2" 2>&1
}

run_bats() { # <file> <log>
  bats --tap --print-output-on-failure "$1" >"$2" 2>&1 </dev/null
}

# Exit status 77: the target cannot run here.
run_fuzz() { # <fuzz/NAME> <log>
  tests/fuzz/run.sh "${1#fuzz/}" >"$2" 2>&1 </dev/null
}

run_one() { # <what> <build dir> <log dir>: leaves LOG, LOG.seconds, LOG.status
  local what=$1 build=$2 log started status=0
  log=$3/${what//\//_}.log
  started=$EPOCHREALTIME
  if [[ $what == unit ]]; then
    run_unit "$build" "$log" || status=$?
  elif [[ $what == fuzz/* ]]; then
    run_fuzz "$what" "$log" || status=$?
  else
    run_bats "$what" "$log" || status=$?
  fi
  printf '%s\n' "$status" >"$log.status"
  awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f\n", b - a}' >"$log.seconds"
}

count() { # <extended regular expression> <file>
  grep -cE "$1" "$2" || true
}

# Adds a log to the totals and prints its line; failures and skips are shown in full.
report() { # <what> <log>
  local what=$1 log=$2 ok=0 bad=0 skip=0 status
  status=$(<"$log.status")
  if [[ $what == unit ]]; then
    ok=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) tests?\.$/\1/p' "$log")
    bad=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) tests?,.*/\1/p' "$log" | head -n 1)
    skip=$(sed -nE 's/^\[  SKIPPED \] ([0-9]+) tests?\.$/\1/p' "$log")
    [[ -z $skip ]] || grep -A1 ': Skipped$' "$log" || true
    ok=${ok:-0} bad=${bad:-0} skip=${skip:-0}
  elif [[ $what == fuzz/* ]]; then
    case $status in
      0) ok=1 ;;
      77) skip=1 && printf '  skipped: %s\n' "$(<"$log")" ;;
      *) bad=1 ;;
    esac
  else
    skip=$(count '^ok .* # skip' "$log")
    ok=$(($(count '^ok ' "$log") - skip))
    bad=$(count '^not ok ' "$log")
    grep -E '^ok .* # skip' "$log" | sed 's/^ok [0-9]* /  skipped: /' || true
  fi
  # A run that ended early counts as a failure even if no single test failed.
  ((status == 0 || bad > 0)) || [[ $what == fuzz/* ]] || bad=1
  if ((bad > 0)); then
    printf -- '---- %s\n' "$what"
    if [[ $what == unit || $what == fuzz/* ]]; then cat "$log"; else grep -vE '^ok ' "$log" || true; fi
    printf -- '----\n'
  fi
  printf '%6s s  %4d passed %3d failed %3d skipped  %s\n' "$(<"$log.seconds")" "$ok" "$bad" "$skip" "$what"
  ((passed += ok, failed += bad, skipped += skip)) || true
}

# Two files run at the same time, so their seconds add up to more than the whole run takes.
report_slowest() { # <log dir>
  local file
  printf 'the ten slowest:\n'
  for file in "$1"/*.log.seconds; do
    printf '%8s s  %s\n' "$(<"$file")" "$(basename "${file%.log.seconds}")"
  done | sort -rn | sed -n 1,10p
}

main() {
  local bin build logs jobs=${JOBS:-2} started=$SECONDS what
  bin=$(realpath "$1")
  build=$(realpath "$2")
  passed=0 failed=0 skipped=0
  export PATH="$bin:$PATH" HELPERS="$build/tests" BATS_TEST_TIMEOUT=300
  cd "$(dirname "$0")/.."
  logs=$build/check
  rm -rf "$logs"
  mkdir -p "$logs"
  # The long ones first, so that the two workers end together.
  local fuzzers=(tests/fuzz/*_fuzz.cc)
  fuzzers=("${fuzzers[@]#tests/}")
  local list=(tests/e2e/*.bats tests/firecracker/*.bats unit tests/cli/*.bats "${fuzzers[@]%_fuzz.cc}")
  for what in "${list[@]}"; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
    run_one "$what" "$build" "$logs" &
  done
  wait
  for what in "${list[@]}"; do report "$what" "$logs/${what//\//_}.log"; done
  report_slowest "$logs"
  printf '%d s in all\n' $((SECONDS - started))
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped" | tee "$logs/summary"
  ((failed == 0))
}

main "$@"
