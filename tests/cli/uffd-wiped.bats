#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Files of the run directory are removed while the server serves.
# shellcheck disable=SC2154,SC2030,SC2031 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../keeper

setup() {
  serve_setup
  mount_run
  mkdir -m 700 run/d
  export SNAPFORK_PAGER=$PWD/run/d/c.sock
}
teardown() { keeper_teardown; }

has_one_state() { # a session
  local states
  mapfile -t states < <(compgen -G 'run/d/s/*.state')
  ((${#states[@]} == 1)) && uffd-ctl health >/dev/null 2>&1
}
waits_again() { [[ -S run/d/s/waits.sock ]]; }

recover_after_kill() {
  local pid
  wait_for_successor
  kill_keeper_and_servers
  for pid in "${killed[@]}"; do wait_until 10 is_gone "$pid"; done
  serve --keep --control run/d/c.sock
  wait_until 10 is_served vm
}

@test "uffd-wiped: the run directory is removed: control socket, endpoints, states and records are made again" {
  require_userfaultfd
  local how
  for how in all sessions state; do
    serve --keep --control run/d/c.sock
    uffd-ctl create --instance-id label vm=memory waits=memory
    hold_vmm run/d/s/vm.sock --pages 10
    case $how in
      all) rm -rf run/d ;;
      sessions) rm -rf run/d/s ;;
      state) rm run/d/s/*.state run/d/s/*.endpoint run/d/s/waits.sock run/d/s/vm.vmm ;;
    esac
    wait_until 10 has_one_state
    wait_until 10 waits_again
    wait_until 10 test -e run/d/s/vm.vmm
    is_served vm
    assert_equal "$(uffd-ctl --json session vm | jq -r .instance_id)" label
    # The keeper has the new state: it is what a successor and a recovery continue from.
    kill_server
    is_served vm
    recover_after_kill
    run -0 probe --socket run/d/s/waits.sock
    release_vmm
    wait_until 10 is_forgotten vm
    end_servers
    wait_until 10 is_gone "$server"
    rm -rf run/d
    mkdir -m 700 run/d
  done
}

@test "uffd-wiped: the directory is removed again and again under a VMM that reads, writes and removes: every word is right" {
  require_userfaultfd
  local seed=${MODEL_SEED:-$RANDOM} model poll_fd wipes=0
  printf '# MODEL_SEED=%s\n' "$seed" >&3
  "$HELPERS/pager-model" --make --mem memory --seed "$seed"
  exec {poll_fd}<> <(:)
  serve --keep --control run/d/c.sock
  while ((wipes < 20)); do
    wait_until 10 uffd-ctl health >/dev/null
    uffd-ctl create "vm=memory"
    spawn_to model.out "$HELPERS/pager-model" --mem memory --seed "$seed" --rounds 1 --socket run/d/s/vm.sock
    model=$spawned_pid
    until is_gone "$model"; do
      if is_served vm; then
        rm -rf run/d
        ((++wipes))
        wait_until 10 uffd-ctl health >/dev/null
        is_gone "$model" || kill_server
      fi
    done
    wait_for_end "$model" 0 || fail "$(<model.out)"
    wait_until 10 is_forgotten vm
    ((++seed))
  done
  exec {poll_fd}>&-
}

@test "uffd-wiped: another server has taken the directory: the first one serves its guests on and leaves the paths alone" {
  require_userfaultfd
  serve --keep --control run/d/c.sock
  uffd-ctl create vm=memory
  hold_vmm run/d/s/vm.sock --pages 10
  local first=$server servers
  wait_for_successor
  mapfile -t servers < <(server_pids)
  kill -STOP "$first" "${servers[0]}"
  mv server.log first.log
  rm -rf run/d
  mkdir -m 700 run/d
  serve --control run/d/c.sock
  kill -CONT "${servers[0]}" "$first"
  wait_until 10 grep -q 'another server uses it' first.log
  assert_equal "$(uffd-ctl --json health | jq .active_sessions)" 0
  [[ ! -e run/d/s/vm.vmm ]]
  kill -0 "${servers[0]}"
  release_vmm
  kill -KILL "$server"
  server=$first
}
