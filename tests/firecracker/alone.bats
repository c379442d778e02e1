#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-serve without a store: one memory file, one socket.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers

setup() {
  require_firecracker
}

teardown() {
  stop_everything
}

@test "uffd-serve --once serves one Firecracker and exits with it" {
  local snapshot=$BATS_TEST_TMPDIR/snapshot socket=$BATS_TEST_TMPDIR/uffd.sock ready_fd server
  take_snapshot "$snapshot" 'guest.seed=7 guest.zero=50'
  mkfifo "$BATS_TEST_TMPDIR/ready"
  exec {ready_fd}<>"$BATS_TEST_TMPDIR/ready"
  uffd-serve --mem "$snapshot/memory" --socket "$socket" --once --ready-fd "$ready_fd" 3>&- 4>&- &
  server=$!
  read -r -t "$ANSWER_SECONDS" -u "$ready_fd"
  vm_restore a "$(jq -nc --arg state "$snapshot/state" --arg socket "$socket" '{resume_vm: true,
    snapshot_path: $state, mem_backend: {backend_type: "Uffd", backend_path: $socket}}')"
  [[ $(vm_ask a sum) == "$sum" ]]
  vm_kill a
  wait "$server"
  [[ ! -e $socket ]]
}
