#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# scripts/demo.sh runs to its end, verifies its forks and leaves nothing.
# shellcheck disable=SC2154 # run sets output and lines

load helpers

setup() {
  require_root
  common_setup
}

teardown() { common_teardown; }

@test "demo runs to its end and leaves nothing" {
  cd "$BATS_TEST_DIRNAME/../.."
  run -0 scripts/demo.sh
  assert_contains "$output" 'files of guests 0, sockets 0, processes 0, mounts 0, loop devices 0, folder gone'
  [[ ${lines[-1]} == *' s in all.' ]]
}
