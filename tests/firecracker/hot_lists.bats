#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hot lists of a real guest: which faults a list of one job leaves to the same job and to another.
# shellcheck disable=SC2154 # variables of the helpers

load helpers

setup() {
  require_firecracker
  cd "$BATS_TEST_TMPDIR" || exit
}

teardown() {
  vm_kill_all
  [[ -z ${server-} ]] || kill -KILL "$server" 2>/dev/null || true
}

serve() { # <option>...
  rm -f ready socket server.log
  mkfifo ready
  uffd-serve --once --json -v --lazy --mem snapshot/memory --socket socket --ready-fd 9 "$@" 9>ready >server.log 2>&1 3>&- 4>&- &
  server=$!
  read -r _ <ready
}

# Restores the guest, waits for the list if one is given, and lets the guest do a job; $faults is the number of its
# demand faults.
run_job() { # <job> [option of uffd-serve]...
  serve "${@:2}"
  vm_restore vm "$(jq -nc --arg dir "$PWD" '{snapshot_path: "\($dir)/snapshot/state", resume_vm: false,
    mem_backend: {backend_type: "Uffd", backend_path: "\($dir)/socket"}}')"
  [[ "$*" != *--hot* ]] || wait_until 60 grep -q 'hot list installed' server.log
  vm_resume vm
  [[ $(vm_ask vm "work $1 3000") == "work $1 OK "* ]]
  vm_kill vm
  wait "$server"
  server=
  faults=$(grep '^{' server.log | jq .faults)
}

@test "a list leaves almost no fault to its own job, the union none to both, and the majority serves any job" {
  take_snapshot snapshot 'guest.seed=7'
  local job all=() none
  for job in 1 2 3; do
    run_job "$job" --trace "trace.$job"
    all[job]=$faults
    hotpage-record record --format hpl2 -o "list.$job" "trace.$job"
  done
  hotpage-record merge --union -o union list.{1,2}
  hotpage-record merge --majority 2 -o majority list.{1,2}
  report() { printf '# %s: %d of %d faults are left (%d %%)\n' "$1" "$faults" "$2" $((faults * 100 / $2)) >&3; }
  run_job 1 --hot list.1
  report 'one list, the same job' "${all[1]}"
  ((faults * 100 <= 3 * all[1])) || fail "$faults of ${all[1]} faults are left"
  run_job 2 --hot list.1
  none=$faults
  report 'one list, another job' "${all[2]}"
  for job in 1 2; do
    run_job "$job" --hot union
    report "the union, job $job" "${all[job]}"
    ((faults * 100 <= 3 * all[job])) || fail "$faults of ${all[job]} faults are left"
  done
  run_job 3 --hot union
  report 'the union, a third job' "${all[3]}"
  run_job 3 --hot majority
  report 'the majority, a third job' "${all[3]}"
  ((faults < all[3])) || fail "the pages of all jobs fault"
  # A packed list has the same effect, from a cold page cache.
  hotpage-record pack --mem snapshot/memory -o packed list.1
  sync snapshot/memory
  dd if=snapshot/memory iflag=nocache count=0 status=none
  run_job 1 --hot packed
  report 'one packed list, the same job' "${all[1]}"
  ((faults * 100 <= 3 * all[1])) || fail "$faults of ${all[1]} faults are left"
  ((none > faults))
}
