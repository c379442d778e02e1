#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A minute of tests/soak/chaos.sh: CHAOS_SECONDS (60) and CHAOS_SEED. `make soak` takes as long as it is told.

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

@test "chaos: flows of all verbs in two stores, their processes stopped and killed, links and mounts thrown in" {
  local seed=${CHAOS_SEED:-$RANDOM}
  printf '# CHAOS_SEED=%s\n' "$seed" >&3
  mkdir "$BATS_TEST_TMPDIR/fs/chaos"
  run bash "$BATS_TEST_DIRNAME/../soak/chaos.sh" "$BATS_TEST_TMPDIR/fs/chaos" "$seed" "${CHAOS_SECONDS:-60}" 3>&- 4>&-
  ((status == 0)) || fail "$(tail -n 60 <<<"$output")"
  printf '# %s\n' "${lines[-1]}" >&3
}
