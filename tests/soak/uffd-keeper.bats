#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Storms of killed and of stopped page servers.
# KEEPER_KILLS (10000) is the number of kills.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load ../cli/helpers
load ../cli/uffd-serve_helpers
load ../keeper

setup() {
  serve_setup
  require_userfaultfd
  "$HELPERS/pager-model" --make --mem memory --seed 1
}

teardown() {
  end_servers
  common_teardown
}

@test "10,000 page servers are killed under 8 VMMs, and every word is right" {
  serve_memory --keep -q
  kill_servers_under_the_model "${KEEPER_KILLS:-10000}" --socket s.sock --vmms 8
}

@test "stopped page servers: their guests wait, and every word is right" {
  serve_memory --keep -q
  stop_servers_under_the_model 200 --socket s.sock --vmms 4
}
