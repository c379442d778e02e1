#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Storms of killed page servers, and proof that the model finds keepers and servers that are wrong.
# KEEPER_KILLS (10000) is the number of kills.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load ../cli/helpers
load ../cli/uffd-serve_helpers
load ../keeper
load ../huge_pages

setup() {
  serve_setup
  require_userfaultfd
  "$HELPERS/pager-model" --make --mem memory --seed 1
}

teardown() {
  end_servers
  common_teardown
  return_huge_pages
}

@test "10,000 page servers are killed under 8 VMMs, and every word is right" {
  serve_memory --keep -q
  kill_servers_under_the_model "${KEEPER_KILLS:-10000}" --socket s.sock --vmms 8
}

@test "page servers are killed while 8 VMMs create sessions, send hot lists, complete and close" {
  serve_control --keep -q
  kill_servers_under_the_model $((${KEEPER_KILLS:-10000} / 5)) --control c.sock --vmms 8 --repeat
}

@test "page servers are killed under VMMs with 2 MiB pages" {
  borrow_huge_pages 68
  serve_control --keep -q
  kill_servers_under_the_model $((${KEEPER_KILLS:-10000} / 10)) --control c.sock --page-size 2M --vmms 4 --repeat
}

@test "stopped page servers: their guests wait, and every word is right" {
  serve_memory --keep -q
  stop_servers_under_the_model 200 --socket s.sock --vmms 4
}

# Builds the wrong programs once, and puts these on the PATH.
use_wrong() { # <name>
  require_plain_build
  local wrong=$BATS_FILE_TMPDIR/wrong
  [[ -d $wrong ]] || "$BATS_TEST_DIRNAME/wrong_servers.sh" "${HELPERS%/tests}" "$wrong"
  PATH=$wrong/$1:$PATH
}

# The function must fail with one of these words in what the model printed.
finds() { # <extended regular expression> <function> [argument]...
  local words=$1
  shift
  if ("$@") >found 2>&1; then fail "not found: $words"; fi
  grep -Eq -e "$words" found || fail "found something else:" "$(<found)"
}

@test "the model finds a successor that does not wake: guests hang" {
  use_wrong no-wake
  serve_memory --keep -q
  finds hangs kill_servers_under_the_model 10000 --socket s.sock --vmms 4 --deadline 5
}

@test "the model finds a successor that does not replay removals: pages are stale" {
  use_wrong no-ring
  serve_memory --keep -q
  finds 'not 0' kill_servers_under_the_model 10000 --socket s.sock --vmms 8
}

@test "the model finds a keeper that starts a second server beside a stopped one: pages are stale" {
  use_wrong two-servers
  serve_memory --keep -q
  finds 'not [0-9]' stop_servers_under_the_model 10000 --socket s.sock --vmms 8
}

@test "the kill test of an operator finds a successor that does not wake, and one that does not replay removals" {
  use_wrong no-wake
  TMPDIR=$PWD run -1 uffd-keeper --kill-test --kills 100000
  assert_contains "$output" hangs
  use_wrong no-ring
  TMPDIR=$PWD run -1 uffd-keeper --kill-test --kills 100000 --guests 4
  assert_contains "$output" ', not 0'
}
