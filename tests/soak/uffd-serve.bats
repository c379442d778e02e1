#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tests of uffd-serve that take longer than `make check` permits.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load ../cli/helpers
load ../cli/uffd-serve_helpers

setup() { serve_setup; }
teardown() { common_teardown; }

# Another page server hung 52 of 14,161 VMs in this way: its threads used descriptor numbers that were reused by others.
@test "4 clients and 15,000 sessions: no guest gets wrong bytes or hangs, and nothing is left" {
  require_userfaultfd
  serve_control -q
  serve_one_guest
  local before
  before=$(descriptors)
  run -0 "$HELPERS/session-storm" --control c.sock --make storm-memory --clients 4 --sessions 15000
  assert_equal "$output" '{"type":"storm","v":1,"sessions":15000,"wrong":0,"hung":0,"broken":0}'
  wait_until 5 is_back_to "$before"
  assert_equal "$(<server.log)" ""
}
