#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests the tools of bench/: the floor of a demand fault, and pictures. They measure nothing here.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  serve_setup
}
teardown() { common_teardown; }

@test "fault-floor: its client gets right pages from its servers, from uffd-serve, and notices wrong ones" {
  local kind
  require_userfaultfd
  for kind in mapped read; do
    spawn_to "ready.$kind" "$HELPERS/fault-floor" serve "$kind.sock" memory "$kind"
    wait_until 10 grep -q ready "ready.$kind"
    run -0 "$HELPERS/fault-floor" touch "$kind.sock" memory 100 "$spawned_pid" times
    jq -e '.pages == 100 and .mean_ns > 0 and .p50_ns <= .p99_ns' <<<"$output" || fail "$output"
    assert_equal "$(wc -l <"times")" 100
  done
  serve_memory
  run -0 "$HELPERS/fault-floor" touch s.sock memory 100
  cp memory other
  chmod u+w other
  printf x | dd of=other bs=1 seek=5000 conv=notrunc status=none
  run -1 "$HELPERS/fault-floor" touch s.sock other 2048
  assert_contains "$output" 'page 1 is wrong'
}

@test "pictures: one line per series, gray for floors, and names that are escaped" {
  local picture=$BATS_TEST_DIRNAME/../../bench/picture.jq
  printf '%s' '{"title":"a < b","x":"n","y":"ms","log_x":true,"series":[{"name":"ours","points":[[1,2],[10,4]]},
    {"name":"limit","floor":true,"points":[[1,1],[10,1]]}]}' >lines.json
  run -0 jq -r -f "$picture" lines.json
  assert_equal "$(grep -c '<polyline' <<<"$output")" 2
  assert_contains "$output" 'a &lt; b'
  assert_contains "$output" 'stroke="#6e7781"'
  printf '%s' '{"title":"t","unit":"MiB","bars":[{"name":"x","value":1,"floor":true},{"name":"y","value":2}]}' >bars.json
  run -0 jq -r -f "$picture" bars.json
  assert_contains "$output" '>2 MiB</text>'
  assert_contains "$output" 'width="330"'
}
