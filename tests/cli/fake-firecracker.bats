#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# fake-firecracker, the test double of Firecracker. tests/firecracker/double.bats compares it with a real one.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # what run sets; variables of one test; backticks of messages

load helpers
load ../fake_firecracker

bats_require_minimum_version 1.5.0

setup() {
  fake=$HELPERS/fake-firecracker
  state=$BATS_TEST_TMPDIR/state memory=$BATS_TEST_TMPDIR/memory
  "$HELPERS/write-vmstate" "$state" 10.0.0 4
  head -c 4M /dev/urandom >"$memory"
}

teardown() {
  fake_kill_all
}

@test "the double reports the version that it plays, and refuses ids as Firecracker does" {
  FAKE_VERSION=1.15.1 run -0 "$fake" --version
  [[ ${lines[0]} == 'Firecracker v1.15.1' ]]
  run -134 "$fake" --id web_1 --api-sock "$BATS_TEST_TMPDIR/x"
  [[ $output == *"Invalid instance ID: InvalidChar('_', 3)"* ]]
  run -153 "$fake" --nonsense
}

@test "the double loads a file, resumes, and writes a Full snapshot that equals it" {
  FAKE_VERIFY=$memory fake_start a
  fake_api a PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
  [[ $(fake_api a GET / | jq -r .state) == Running ]]
  run -1 fake_api a PUT /snapshot/create '{"snapshot_path":"/x","mem_file_path":"/x"}'
  fake_api a PATCH /vm '{"state":"Paused"}'
  fake_api a PUT /snapshot/create "{\"snapshot_path\":\"$state.new\",\"mem_file_path\":\"$memory.new\"}"
  cmp "$state" "$state.new"
  cmp "$memory" "$memory.new"
}

@test "the double's Diff has the pages that its guest wrote" {
  export FAKE_WORK=2
  fake_start a
  fake_api a PUT /snapshot/load "$(fake_load_body "$state" "$memory" File '{"track_dirty_pages":true}')"
  [[ $(fake_api a GET /machine-config | jq .track_dirty_pages) == true ]]
  fake_api a PATCH /vm '{"state":"Paused"}'
  fake_api a PUT /snapshot/create "{\"snapshot_type\":\"Diff\",\"snapshot_path\":\"$state.new\",\"mem_file_path\":\"$memory.new\"}"
  [[ $(stat --format=%s "$memory.new") == $((4 << 20)) ]]
  (($(stat --format=%b "$memory.new") == 16))
  cp "$memory" "$memory.merged"
  snapshot-meta merge-diff "$memory.new" "$memory.merged"
  run cmp -l "$memory" "$memory.merged"
  ((${#lines[@]} >= 2 && ${#lines[@]} <= 16))
}

@test "the double gets its memory from a page server, byte for byte" {
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/pager.sock FAKE_VERIFY=$memory
  mkdir -m 700 "$BATS_TEST_TMPDIR/run"
  uffd-serve --control "$SNAPFORK_PAGER" --exit-when-idle >/dev/null 2>&1 3>&- 4>&- &
  wait_until 30 uffd-ctl health
  uffd-ctl create a="$memory"
  fake_start a
  fake_api a PUT /snapshot/load "$(fake_load_body "$state" "$BATS_TEST_TMPDIR/run/s/a.sock" Uffd)"
  (($(uffd-ctl session a | jq .faults.demand) > 0))
  [[ $(uffd-ctl session a | jq .vmm_pid) == "${fake_pid[a]}" ]]
}

@test "the double refuses unknown fields by release, a second load, and ends after a load that failed" {
  FAKE_VERSION=1.15.1 fake_start a
  run -1 fake_api a PUT /snapshot/load "$(fake_load_body "$state" "$memory" File '{"vsock_override":{"uds_path":"/x"}}')"
  [[ $output == *'unknown field `vsock_override`, expected one of `snapshot_path`, '* ]]
  run -1 fake_api a PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
  [[ $output == *'Invalid data version: 10.0.0'* ]]
  fake_wait a
  ((ended == 1))
  fake_start b
  fake_api b PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
  run -1 fake_api b PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
  [[ $output == *'not supported after starting the microVM'* ]]
}

@test "the double opens what the state names, and writes to it" {
  printf x >"$BATS_TEST_TMPDIR/disk"
  "$HELPERS/write-vmstate" "$state" 10.0.0 4 drive="$BATS_TEST_TMPDIR/disk" vsock="$BATS_TEST_TMPDIR/v.sock" tap=tap7
  export FAKE_OPENED=$BATS_TEST_TMPDIR/opened FAKE_WORK=1
  fake_start a
  fake_api a PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
  diff <(sort "$FAKE_OPENED") - <<END
drive $BATS_TEST_TMPDIR/disk
tap tap7
vsock $BATS_TEST_TMPDIR/v.sock
END
  [[ $(<"$BATS_TEST_TMPDIR/disk") == y ]]
  fake_start b
  run -1 fake_api b PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
  [[ $output == *'Address already in use'* ]]
}

@test "the double has the faults that FAKE_FAIL names" {
  local fault
  for fault in die-load hang-load load; do
    FAKE_FAIL=$fault fake_start "$fault"
    run fc-api --timeout 0.2 "$(fake_dir "$fault")/api.sock" PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
    ((status))
  done
  fake_wait die-load
  ((ended == 137))
  fake_wait load
  ((ended == 1))
  kill -0 "${fake_pid['hang-load']}"
  export FAKE_FAIL=clock,late-create
  fake_start a
  run -1 fake_api a PUT /snapshot/load "$(fake_load_body "$state" "$memory" File '{"clock_realtime":true}')"
  [[ $output == *'clock_realtime requested but not present in the snapshot state'* ]]
  fake_start b
  fake_api b PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
  fake_api b PATCH /vm '{"state":"Paused"}'
  run -1 fake_api b PUT /snapshot/create "{\"snapshot_path\":\"$state.new\",\"mem_file_path\":\"$memory.new\"}"
  [[ $(fake_api b GET / | jq -r .state) == Paused ]]
}

@test "the double ends by Ctrl-Alt-Del, and by SIGTERM unless told otherwise" {
  fake_start a
  fake_api a PUT /snapshot/load "$(fake_load_body "$state" "$memory")"
  fake_api a PUT /actions '{"action_type":"SendCtrlAltDel"}'
  fake_wait a
  ((!ended))
  fake_start b
  kill -TERM "${fake_pid[b]}"
  fake_wait b
  ((ended == 143))
}
