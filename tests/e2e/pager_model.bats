#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-serve against a model: VMMs do at random what VMMs may do, and the model knows each word that they must read.
# MODEL_SECONDS (12, divided among the tests) and MODEL_SEED; `make soak` runs for minutes. A failure prints the command that
# repeats it.
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

# Runs rounds for that many seconds, starting with $seed.
check_model() { # <seconds> <option of pager-model>...
  printf '# MODEL_SEED=%s\n' "$seed" >&3
  run --separate-stderr "$HELPERS/pager-model" --mem memory --seed "$seed" --seconds "$@"
  ((status == 0)) || fail "$stderr" "$(tail -n 20 server.log)"
  printf '# %s\n' "$output" >&3
  # No page was poisoned, and no VMM was killed. Memory that was mapped over cannot be completed, which is reported.
  if grep -E 'poison|kill|not served|Sanitizer|runtime error' server.log; then fail 'the server gave up'; fi
}

@test "model check of a service: every word is right, every touch answered, every session freed" {
  serve_control
  check_model $((seconds / 2)) --control c.sock --vmms 2
}

@test "model check in the foreground, with several VMMs of one image" {
  "$HELPERS/pager-model" --make --mem memory --seed "$seed"
  serve_memory
  check_model $((seconds / 4)) --socket s.sock --vmms 3
}

@test "model check with 2 MiB pages" {
  borrow_huge_pages 20
  serve_control
  check_model $((seconds / 4)) --control c.sock --page-size 2M
}

@test "model check repeats the same steps with the same seed" {
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

@test "model check finds the faults of servers that were broken on purpose" {
  local pair wrong deadline
  "$HELPERS/pager-model" --make --mem memory --seed 1
  for pair in byte=' is ' ignore-remove=', not 0' late-remove=', not 0' hang=hangs no-wake=hangs \
    eexist=hangs close=hangs poison=died; do
    wrong=${pair%%=*}
    mkfifo "ready.$wrong"
    spawn_to "ready.$wrong" "$HELPERS/minimal-server" --socket "$wrong.sock" --mem memory --wrong "$wrong"
    read -r <"ready.$wrong"
    # A correct answer may take longer than a second on a busy machine, and would be reported as a hang.
    deadline=60
    [[ $pair != *=hangs ]] || deadline=1
    run -1 --separate-stderr "$HELPERS/pager-model" --mem memory --socket "$wrong.sock" --threads 3 \
      --seconds 60 --deadline "$deadline"
    assert_contains "$stderr" "${pair#*=}"
    assert_contains "$stderr" '--rounds 1'
  done
}
