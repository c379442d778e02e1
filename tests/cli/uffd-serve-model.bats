#!/usr/bin/env bats
# uffd-serve against a VMM that touches, writes, gives back, unmaps and forks at random while an oracle
# holds the truth of each page. A failing seed is printed; MODEL_SEED=N replays it.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../model

setup() { serve_setup; }
teardown() { common_teardown; }

@test "whatever a VMM does, each page holds what it must" {
  require_userfaultfd
  rm -f memory
  make_model_memory memory
  make_model_list memory hot
  serve_control -q
  local seed
  for seed in ${MODEL_SEED:-3 4 5 6 7 15}; do
    model_round "$seed" 1
  done
  chmod 400 memory
  for seed in ${MODEL_SEED:-8 9 10 11 12}; do
    model_round "$seed" 1
  done
}

@test "the same with 2 MiB pages" {
  require_userfaultfd
  ((EUID == 0)) || skip "needs root, to reserve 2 MiB pages"
  local before seed failed=0
  before=$(</proc/sys/vm/nr_hugepages)
  echo $((before + 12)) >/proc/sys/vm/nr_hugepages
  if (($(</sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages) < 12)); then
    echo "$before" >/proc/sys/vm/nr_hugepages
    skip "no 2 MiB pages can be reserved"
  fi
  rm -f memory
  make_model_memory memory
  : >hot
  serve_control -q
  for seed in ${MODEL_SEED:-2 5 7}; do
    model_round "$seed" 1 --page-size 2M || failed=1
  done
  echo "$before" >/proc/sys/vm/nr_hugepages
  ((failed == 0))
}
