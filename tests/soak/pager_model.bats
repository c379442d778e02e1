#!/usr/bin/env bats
# The page server against a random VMM, for ten minutes; MODEL_SEED=N replays one round.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load ../cli/helpers
load ../cli/uffd-serve_helpers
load ../model

setup() { serve_setup; }
teardown() { common_teardown; }

@test "whatever a VMM does, each page holds what it must: 10 minutes" {
  require_userfaultfd
  rm -f memory
  make_model_memory memory
  make_model_list memory hot
  serve_control -q
  local seed=${MODEL_SEED:-$RANDOM} end=$((SECONDS + ${MODEL_SECONDS:-600}))
  while ((SECONDS < end)); do
    model_round "$seed" 3
    [[ -z ${MODEL_SEED-} ]] || return 0
    ((++seed))
  done
}
