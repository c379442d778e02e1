#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-keeper --kill-test: an operator proves that the death of a page server harms no guest.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers

setup() {
  common_setup
  export TMPDIR=$PWD
}
teardown() { common_teardown; }

@test "kill-test: options are checked" {
  run -2 uffd-keeper --kills 3 -- --control c.sock
  assert_contains "$output" 'the option --kills needs --kill-test'
  run -2 uffd-keeper --kill-test --kills 0
  run -2 uffd-keeper --kill-test --guests 65
}

@test "kill-test: kills servers, verifies each byte of the guests, reports their waits, and leaves nothing" {
  require_userfaultfd
  run -0 --separate-stderr uffd-keeper --kill-test --kills 20 --guests 3
  [[ $output == '20 servers were killed; '*' VMMs read no wrong byte'*'median '*' us, p99 '*' us, max '*' us' ]] || fail "$output"
  run -0 --separate-stderr uffd-keeper --kill-test --kills 5 --json -- --lazy
  # Each guest verifies 8192 pages at least twice, and waits for a new server.
  run -0 jq -e '.type == "kill-test" and .kills == 5 and .vmms >= 2 and .verified_pages >= .vmms * 16384 and
    .wait_max_ns > 100000 and .wait_max_ns >= .wait_p99_ns and .wait_p99_ns >= .wait_median_ns' <<<"$output"
  run ! compgen -G 'uffd-keeper.*'
}

@test "kill-test: a server that does not start, and a signal, end it" {
  require_userfaultfd
  run -1 --separate-stderr uffd-keeper --kill-test -- --window nonsense
  assert_contains "$stderr" 'the keeper does not serve'
  assert_contains "$(cat uffd-keeper.*/log)" nonsense
  rm -r uffd-keeper.*
  spawn_to out uffd-keeper --kill-test --kills 100000
  wait_until 10 compgen -G 'uffd-keeper.*/socket'
  kill -TERM "$spawned_pid"
  wait_until 20 is_gone "$spawned_pid"
  assert_contains "$(<out)" 'interrupted by a signal'
  run ! compgen -G 'uffd-keeper.*'
}
