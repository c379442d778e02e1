#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# uffd-keeper under a service manager that stores descriptors. The manager is a stand-in (tests/service_manager.py), because
# systemd is not process 1 where the tests run.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../keeper
load ../kill_servers

setup() {
  require_cmd python3
  [[ $(uname -m) == x86_64 ]] || skip 'the stand-in uses the number of kcmp(2) on x86_64'
  serve_setup
}
teardown() {
  [[ -z ${manager-} ]] || kill -KILL "$manager" 2>/dev/null || true
  kill_servers_at "$PWD/c.sock"
  common_teardown
}

# Keeper and servers of this test.
all_processes() { pgrep -f -- "^uffd-(keeper|serve) .*--control $PWD/c.sock" || true; }

answers() { uffd-ctl health >/dev/null 2>&1; }

start_manager() { # <option of uffd-keeper>...
  export SNAPFORK_PAGER=$PWD/c.sock
  spawn_to manager.out python3 "$BATS_TEST_DIRNAME/../service_manager.py" manager.log uffd-keeper "$@" -- --control "$PWD/c.sock"
  manager=$spawned_pid
  wait_until 10 answers
}

# Kills keeper and servers together.
kill_all() {
  local pids starts
  starts=$(grep -c '^start' manager.log)
  mapfile -t pids < <(all_processes)
  kill -STOP "${pids[@]}"
  kill -KILL "${pids[@]}"
  started_again() { (($(grep -c '^start' manager.log) > starts)); }
  wait_until 10 started_again
}

stored() { tail -n 1 manager.log | sed 's/.*stored: //'; }
has_stored() { [[ $(stored) == "$1" ]]; }

@test "store: keeper and servers are killed together, and every guest is served on" {
  require_userfaultfd
  start_manager --on-poisonous-session kill
  uffd-ctl create vm=memory other=memory
  uffd-ctl create --instance-id label waits=memory
  hold_vmm s/vm.sock --pages 100
  spawn_to probe.out uffd-probe --json --mem memory --socket s/other.sock --wait 60 --balloon 1 --jobs 2
  local before
  before=$(uffd-ctl --json session vm | jq -S 'del(.latency_ns)')
  for _ in 1 2 3; do
    kill_all
    wait_until 10 answers
    assert_equal "$(uffd-ctl --json session vm | jq -S 'del(.latency_ns)')" "$before"
  done
  grep -q 'start with [1-9]' manager.log || fail "$(<manager.log)"
  assert_contains "$(<manager.out)" 'continues with what the service manager has stored'
  assert_equal "$(uffd-ctl --json health | jq '.keeper | .restarts, .generation' | xargs)" '3 4'
  wait_for_end "$spawned_pid" 0 || fail "$(<probe.out)"
  assert_equal "$(uffd-ctl --json session waits | jq -r '.instance_id + .state')" labelwaiting
  run -0 probe --socket s/waits.sock
  release_vmm
}

@test "store: a guest whose state is in anonymous memory and whose image was deleted survives" {
  require_userfaultfd
  start_manager
  uffd-ctl create vm=memory
  hold_vmm s/vm.sock --pages 100
  mv memory moved
  kill_all
  wait_until 10 is_served vm
  mv moved memory
  release_vmm
}

@test "store: it has what the sessions need, and nothing after the last one" {
  require_userfaultfd
  start_manager
  local empty
  empty=$(stored)
  uffd-ctl create one=memory two=memory
  has_stored $((empty + 6)) || fail "$(<manager.log)" # state, image and socket of each endpoint
  uffd-ctl close two
  wait_until 10 has_stored $((empty + 3))
  hold_vmm s/one.sock --pages 1
  # State, image (of the endpoint), userfaultfd, socket (of the connection), pidfd.
  wait_until 10 has_stored $((empty + 5))
  release_vmm
  wait_until 10 has_stored "$empty"
  kill -TERM "$manager"
  wait_for_end "$manager" 0
  has_stored 0 || fail "$(<manager.log)"
}

@test "store: after the keeper alone was killed, the next keeper continues with the store" {
  require_userfaultfd
  start_manager
  uffd-ctl create vm=memory waits=memory
  hold_vmm s/vm.sock --pages 100
  local empty keeper
  keeper=$(uffd-ctl health | jq .keeper.pid)
  empty=$(stored)
  kill -KILL "$keeper"
  is_other_keeper() {
    local now
    now=$(uffd-ctl health | jq .keeper.pid) && ((now != keeper)) && (($(all_processes | wc -l) == 3))
  }
  wait_until 10 is_other_keeper
  kill_all
  wait_until 10 is_served vm
  run -0 probe --socket s/waits.sock
  wait_until 10 is_forgotten waits
  release_vmm
  wait_until 10 is_forgotten vm
  gone() { (($(stored) < empty - 7)); }
  wait_until 10 gone
}

@test "store: the keeper reports that it lives, as often as the watchdog needs it" {
  start_manager
  reports() { (($(grep -c WATCHDOG=1 manager.log) >= 3)); }
  wait_until 10 reports
}

@test "store: descriptors for another process are not used" {
  spawn_to server.log env LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=page uffd-keeper -- --control "$PWD/c.sock"
  export SNAPFORK_PAGER=$PWD/c.sock
  wait_until 10 answers
  kill -TERM "$spawned_pid"
  wait_for_end "$spawned_pid" 0
}
