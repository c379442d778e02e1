#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# fake-firecracker against a real Firecracker: the same calls must get the same statuses.
# shellcheck disable=SC2154,SC2016 # variables of the helpers; backticks of messages

load helpers
load ../fake_firecracker

setup() {
  require_firecracker
  [[ $("$firecracker" --version) =~ v([0-9.]+) ]]
  export FAKE_VERSION=${BASH_REMATCH[1]}
}

teardown() {
  fake_kill_all
  vm_kill_all
}

# Makes a call of both; fails unless both answer with the same status. The real one has its reply in $real.
both() { # <method> <path> [json]
  local fake status=0 fake_status=0
  real=$(vm_api real "$@" 2>&1) || status=$?
  fake=$(fake_api fake "$@" 2>&1) || fake_status=$?
  ((status == fake_status)) || fail "$*: the real one: $status $real" "the double: $fake_status $fake"
  ((!status)) || [[ $real == *': 400: '* && $fake == *': 400: '* ]] || fail "$*: $real" "the double: $fake"
  # The message names the fields of this release.
  [[ $real != *'expected one of `snapshot_'* || $(fields_of "$real") == "$(fields_of "$fake")" ]] || fail "$real" "$fake"
}

fields_of() { # <message>
  grep -o '`[a-z_]*`' <<<"${1##*expected}"
}

start_both() {
  vm_start real
  fake_start fake
}

both_have_ended() {
  eventually_ended "${vm_pid[real]}"
  fake_wait fake
  ((ended == 1))
  vm_kill real
}

eventually_ended() { # <pid>
  wait_until "$ANSWER_SECONDS" vm_has_ended "$1"
}

@test "the double answers as a real Firecracker before a load, during a life, and after a load that failed" {
  local dir=$BATS_TEST_TMPDIR/snapshot body file more
  mkdir "$dir"
  printf '%4096s' x >"$dir/disk"
  take_snapshot "$dir" 'guest.seed=7' "$(jq -n --arg dir "$dir" '{
    drives: [{drive_id: "d", path_on_host: "\($dir)/disk", is_root_device: false, is_read_only: false}],
    vsock: {guest_cid: 3, uds_path: "\($dir)/v.sock"}}')"
  rm -f "$dir/v.sock"
  cp "$dir/state" "$dir/bad"
  printf x | dd of="$dir/bad" bs=1 seek=3000 conv=notrunc status=none
  head -c 1M /dev/zero >"$dir/short"

  rm -f "$(vm_dir real)/config.json"
  start_both
  for body in 'GET /version' 'GET /' 'GET /nothing' 'GET /machine-config' 'PUT /machine-config {"vcpu_count":1,"x":1}' \
    'PATCH /vm {"state":"Paused"}' 'PATCH /vm {"state":"Stopped"}' 'GET /mmds' 'PUT /mmds {"a":1}' 'PUT /snapshot/load x' \
    'PUT /snapshot/load {"snapshot_path":"/x"}' 'PUT /snapshot/load {"snapshot_path":"/x","x":1}' \
    'PUT /snapshot/load {"snapshot_path":"/x","mem_file_path":"/x","mem_backend":{"backend_type":"File","backend_path":"/x"}}' \
    'PUT /snapshot/load {"snapshot_path":"/x","mem_backend":{"backend_type":"Net","backend_path":"/x"}}' \
    'PUT /snapshot/create {"snapshot_path":"/x","mem_file_path":"/x"}' 'PUT /snapshot/create {"snapshot_path":"/x","x":1}' \
    'PUT /actions {"action_type":"SendCtrlAltDel"}' 'PUT /actions {"action_type":"Dance"}'; do
    read -r method path more <<<"$body"
    both "$method" "$path" ${more:+"$more"}
  done

  # Both would bind the same vsock socket, and each has its own copies of what is written.
  body=$(load_from_files "$dir/state" "$dir/memory" | jq -c '.resume_vm = false | .track_dirty_pages = true')
  vm_api real PUT /snapshot/load "$body"
  mv "$dir/v.sock" "$dir/v.real"
  fake_api fake PUT /snapshot/load "$body"
  both PUT /snapshot/load "$body"
  both GET /
  [[ $(jq -r .state <<<"$real") == Paused ]]
  [[ $(fake_api fake GET / | jq -r .state) == Paused ]]
  both GET /machine-config
  diff <(jq -S '{mem_size_mib, track_dirty_pages}' <<<"$real") \
    <(fake_api fake GET /machine-config | jq -S '{mem_size_mib, track_dirty_pages}')
  for body in '{"state":"Paused"}' '{"state":"Resumed"}' '{"state":"Resumed"}'; do both PATCH /vm "$body"; done
  both PUT /snapshot/create "{\"snapshot_path\":\"$dir/s\",\"mem_file_path\":\"$dir/m\"}"
  both PATCH /vm '{"state":"Paused"}'
  for file in "$dir/s" "$dir/absent/s"; do
    for body in '{}' '{"snapshot_type":"Full"}' '{"snapshot_type":"Diff"}' '{"snapshot_type":"Half"}' '{"x":1}' '{"sync_snapshot_files":false}'; do
      both PUT /snapshot/create "$(jq -nc --arg state "$file" --arg memory "$dir/m" --argjson more "$body" \
        '{snapshot_path: $state, mem_file_path: $memory} + $more')"
    done
  done
  both PUT /machine-config '{"vcpu_count":1,"mem_size_mib":64}'
  both PUT /logger '{"log_path":"/x"}'
  both PUT /actions '{"action_type":"InstanceStart"}'
  both PUT /actions '{"action_type":"FlushMetrics"}'
  vm_kill real
  fake_kill_all

  # Loads that fail.
  for body in '{"snapshot_path":"/absent"}' "{\"snapshot_path\":\"$dir/bad\"}" \
    '{"mem_backend":{"backend_type":"File","backend_path":"/absent"}}' \
    "{\"mem_backend\":{\"backend_type\":\"File\",\"backend_path\":\"$dir/short\"}}" \
    '{"mem_backend":{"backend_type":"Uffd","backend_path":"/absent"}}' \
    '{"network_overrides":[{"iface_id":"eth7","host_dev_name":"tap7"}]}'; do
    rm -f "$dir/v.sock"
    start_both
    more=$(load_from_files "$dir/state" "$dir/memory" | jq -c --argjson more "$body" '. + $more')
    run -1 vm_api real PUT /snapshot/load "$more"
    rm -f "$dir/v.sock"
    run -1 fake_api fake PUT /snapshot/load "$more"
    both_have_ended
  done
  rm -f "$dir/v.sock" "$dir/disk"
  start_both
  both PUT /snapshot/load "$(load_from_files "$dir/state" "$dir/memory")"
  both_have_ended
}

@test "the double has the exit status and the message of a real Firecracker for bad arguments" {
  local arguments fake=$HELPERS/fake-firecracker
  for arguments in '--version' '--id web_1' '--nonsense'; do
    # shellcheck disable=SC2086 # words
    run "$firecracker" "${firecracker_args[@]}" $arguments --api-sock "$BATS_TEST_TMPDIR/x.sock" </dev/null
    local real=$status message
    message=$(grep -o 'InvalidChar.*\|^Firecracker v.*' <<<"$output" || true)
    # shellcheck disable=SC2086 # words
    run "$fake" $arguments --api-sock "$BATS_TEST_TMPDIR/x.sock"
    ((status == real))
    [[ -z $message || $output == *"$message"* ]]
  done
}
