#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs tests/soak/chaos.sh for CHAOS_SECONDS (60) with CHAOS_SEED. `make soak` runs it for SOAK_SECONDS.

load helpers

setup() {
  require_root
  common_setup
  mount_fs xfs "$BATS_TEST_TMPDIR/fs" 800
}

teardown() {
  common_teardown
  unmount_all
}

@test "chaos: two stores stay correct while flows run at once, processes are killed, and links and mounts appear" {
  local seed=${CHAOS_SEED:-$RANDOM}
  printf '# CHAOS_SEED=%s\n' "$seed" >&3
  mkdir "$BATS_TEST_TMPDIR/fs/chaos"
  run bash "$BATS_TEST_DIRNAME/../soak/chaos.sh" "$BATS_TEST_TMPDIR/fs/chaos" "$seed" "${CHAOS_SECONDS:-60}" 3>&- 4>&-
  ((status == 0)) || fail "$(tail -n 60 <<<"$output")"
  printf '# %s\n' "${lines[-1]}" >&3
}
