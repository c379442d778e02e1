#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# fc-api: calls to a real Firecracker.
# shellcheck disable=SC2154,SC2034 # variables of the helpers, and what run sets

load helpers
load flow_helpers

setup() {
  require_firecracker
}

teardown() {
  stop_everything
}

@test "fc-api waits for a Firecracker that starts, and makes calls" {
  local socket=$BATS_TEST_TMPDIR/api.sock
  "$firecracker" "${firecracker_args[@]}" --api-sock "$socket" </dev/null >/dev/null 2>&1 3>&- 4>&- &
  vm_pid[a]=$! # for stop_everything
  run -0 fc-api --wait "$ANSWER_SECONDS" "$socket" GET /version
  [[ $(jq -r .firecracker_version <<<"$output") =~ ^1\.[0-9]+\. ]]
  run -0 fc-api "$socket" PUT /machine-config '{"vcpu_count": 1, "mem_size_mib": 64}'
  [[ -z $output ]]
  run -0 fc-api "$socket" GET /machine-config
  [[ $(jq .mem_size_mib <<<"$output") == 64 ]]
}

@test "fc-api reports why Firecracker refuses a call, with status 1" {
  vm_start a
  local socket
  socket=$(vm_dir a)/api.sock
  run -1 --separate-stderr fc-api "$socket" PUT /snapshot/load '{"snapshot_path":"/absent","mem_backend":{"backend_type":"File","backend_path":"/absent"}}'
  [[ $stderr == "fc-api: cannot PUT '/snapshot/load': 400: "*'No such file'* ]]
  jq -e .fault_message <<<"$output"
  # A Firecracker ends after a load that failed.
  vm_start b
  run -1 --separate-stderr fc-api "$(vm_dir b)/api.sock" PUT /mmds - < <(head -c 60000 /dev/zero | tr '\0' ' ')
  [[ $stderr == *': 400: '*'51200'* || $stderr == *': 413: '*'51200'* ]]
}
