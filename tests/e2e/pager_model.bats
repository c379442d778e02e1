#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-serve against an oracle: VMMs do at random what VMMs may do, and each word that they read is known.
# MODEL_SECONDS (12, shared out) and MODEL_SEED; `make soak` takes minutes. A failure names what to run to see it again.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load ../cli/helpers
load ../cli/uffd-serve_helpers
load ../huge_pages

setup() {
  common_setup
  require_userfaultfd
  seconds=${MODEL_SECONDS:-12}
  seed=${MODEL_SEED:-$RANDOM$RANDOM}
}

teardown() {
  common_teardown
  return_huge_pages
}

# Rounds for so many seconds, beginning with $seed.
check_model() { # <seconds> <option of pager-model>...
  printf '# MODEL_SEED=%s\n' "$seed" >&3
  run --separate-stderr "$HELPERS/pager-model" --mem memory --seed "$seed" --seconds "$@"
  ((status == 0)) || fail "$stderr" "$(tail -n 20 server.log)"
  printf '# %s\n' "$output" >&3
  # No page was given up, no VMM killed; what has replaced memory cannot be completed, as is said.
  if grep -E 'poison|kill|not served|Sanitizer|runtime error' server.log; then fail 'the server gave up'; fi
}

@test "a service: every word right, every touch answered, every session freed" {
  serve_control
  check_model $((seconds / 2)) --control c.sock --vmms 2
}

@test "in the foreground, several VMMs of one image" {
  "$HELPERS/pager-model" --make --mem memory --seed "$seed"
  serve_memory
  check_model $((seconds / 4)) --socket s.sock --vmms 3
}

@test "2 MiB pages" {
  borrow_huge_pages 20
  serve_control
  check_model $((seconds / 4)) --control c.sock --page-size 2M
}

@test "a seed brings back the same steps" {
  local first
  serve_control -q
  again() {
    run -0 "$HELPERS/pager-model" --mem memory --control c.sock --threads 1 --rounds 1 --seed "$seed"
  }
  printf '# MODEL_SEED=%s\n' "$seed" >&3
  again
  first=$output
  again
  assert_equal "$output" "$first"
}

@test "the model finds what is wrong with other servers" {
  local pair wrong
  "$HELPERS/pager-model" --make --mem memory --seed 1
  for pair in byte=' is ' ignore-remove=', not 0' late-remove=', not 0' hang=hangs no-wake=hangs \
    eexist=hangs close=hangs poison=died; do
    wrong=${pair%%=*}
    mkfifo "ready.$wrong"
    spawn_to "ready.$wrong" "$HELPERS/minimal-server" --socket "$wrong.sock" --mem memory --wrong "$wrong"
    read -r <"ready.$wrong"
    run -1 --separate-stderr "$HELPERS/pager-model" --mem memory --socket "$wrong.sock" --threads 3 \
      --seconds 10 --deadline 1
    assert_contains "$stderr" "${pair#*=}"
    assert_contains "$stderr" '--rounds 1'
  done
}
