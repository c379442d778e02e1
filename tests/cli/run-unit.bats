#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# tests/run-unit.sh: one unit test that hangs must not stop a CI run.

load helpers

setup() {
  common_setup
  run_unit=$(realpath "$BATS_TEST_DIRNAME/../run-unit.sh")
}
teardown() { common_teardown; }

make_tests() { # <line of the script>...
  printf '%s\n' '#!/bin/sh' "$@" >unit-tests
  chmod +x unit-tests
}

@test "run-unit.sh ends a unit test that hangs, and names it" {
  make_tests 'echo "[ RUN      ] First.Ends"' 'echo "[       OK ] First.Ends (0 ms)"' \
    'echo "[ RUN      ] Second.Hangs"' 'exec tail -f /dev/null'
  UNIT_SECONDS=4 run -124 "$run_unit" ./unit-tests
  assert_equal "$output" 'unit tests: not done after 4 s; this one was begun last: Second.Hangs'
}

@test "run-unit.sh prints failures, skips and counts, and has the status of the tests" {
  make_tests 'echo "[ RUN      ] A.B"' 'echo "a.cc:1: Failure"' 'echo "[       OK ] A.C (0 ms)"' \
    'echo "[  PASSED  ] 1 test."' 'exit 1'
  run -1 "$run_unit" ./unit-tests
  assert_equal "$output" $'a.cc:1: Failure\n[  PASSED  ] 1 test.'
}
