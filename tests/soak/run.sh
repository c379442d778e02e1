#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs for SOAK_SECONDS (300) each what `make check` runs for seconds: the storm, chaos, the model check, the race, every fuzz
# target, and the tests of this folder. Called by `make soak`: tests/soak/run.sh BIN-DIR BUILD-DIR.
set -euo pipefail
shopt -s inherit_errexit nullglob

main() {
  local seconds=${SOAK_SECONDS:-300} name failed=0
  PATH=$(realpath "$1"):$PATH
  HELPERS=$(realpath "$2")/tests
  export PATH HELPERS SOAK_SECONDS=$seconds STORM_SECONDS=$seconds FUZZ_SECONDS=$seconds
  export BATS_TEST_TIMEOUT=$((seconds + 600))
  cd "$(dirname "$0")/../.."
  bats tests/e2e/storm.bats || failed=1
  CHAOS_SECONDS=$seconds bats tests/e2e/chaos.bats || failed=1
  MODEL_SECONDS=$((2 * seconds)) BATS_TEST_TIMEOUT=$((seconds + 600)) bats tests/e2e/pager_model.bats || failed=1
  ROUNDS=$((seconds * 10)) bats -f 'delete that races three forks never' tests/e2e/race.bats || failed=1
  KEEPER_POINTS=1000 BATS_TEST_TIMEOUT=3600 bats tests/cli/uffd-keeper-points.bats || failed=1
  for name in tests/soak/*.bats; do
    bats "$name" || failed=1
  done
  for name in tests/fuzz/*_fuzz.cc; do
    name=${name##*/}
    tests/fuzz/run.sh "${name%_fuzz.cc}" || (($? == 77)) || failed=1
  done
  return "$failed"
}

main "$@"
