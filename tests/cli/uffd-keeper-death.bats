#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The keeper is killed: the server that serves starts another one and gives it everything.
# shellcheck disable=SC2154,SC2030,SC2031,SC2034 # run sets output and status; each test is a subshell of its own

load helpers
load uffd-serve_helpers
load ../keeper
load ../kill_servers

setup() { serve_setup; }
teardown() {
  kill_servers_at "$PWD/"
  common_teardown
  umount -l run 2>/dev/null || true
}

serve_here() {
  export SNAPFORK_PAGER=$PWD/c.sock
  serve --keep --control "$PWD/c.sock"
}

keeper_is_another() { # <pid>
  local now
  now=$(uffd-ctl --json health 2>/dev/null | jq .keeper.pid)
  [[ -n $now && $now != "$1" ]] && kill -0 "$now" 2>/dev/null
}

# Kills the keeper, and waits until the next one has a server that waits. $server is then that keeper.
kill_keeper() {
  local before=$server
  kill -KILL "$before"
  wait_until 10 keeper_is_another "$before"
  server=$(uffd-ctl --json health | jq .keeper.pid)
  wait_until 10 has_one_child
}
# The server that serves is not a child of this keeper.
has_one_child() {
  local pids
  mapfile -t pids < <(server_pids)
  ((${#pids[@]} == 1)) && [[ $(readlink "/proc/${pids[0]}/exe") == */uffd-serve ]]
}
# Kills the server that serves under a keeper that another server has started.
kill_foreign_server() {
  local pid
  pid=$(uffd-ctl --json health | jq .keeper.server_pid)
  kill -KILL "$pid"
  wait_until 10 is_replaced "$pid"
}

@test "uffd-keeper: the keeper is killed: sessions, endpoints, connections and locks have another one" {
  require_userfaultfd
  serve_here
  uffd-ctl create --instance-id label vm=memory waits=memory
  hold_vmm s/vm.sock --pages 10
  kill_keeper
  is_served vm
  assert_equal "$(uffd-ctl --json health | jq -c '.keeper | [.keepers, .restarts]')" '[1,0]'
  assert_equal "$(<"/proc/$server/comm")" uffd-keeper # pgrep and top show it
  run -1 uffd-serve --keep --control "$PWD/c.sock"
  assert_contains "$output" 'another server uses it'
  kill_foreign_server
  is_served vm
  assert_equal "$(<"/proc/$(uffd-ctl --json health | jq .keeper.server_pid)/comm")" uffd-serve
  assert_equal "$(uffd-ctl --json session vm | jq -r .instance_id)" label
  assert_equal "$(uffd-ctl --json health | jq -c '.keeper | [.keepers, .restarts, .reason]')" '[1,1,"killed"]'
  run -0 probe --socket s/waits.sock
  assert_contains "$(uffd-ctl metrics)" 'uffd_serve_keeper_restarts_total 1'
  release_vmm
}

has_begun() { is_served "$1" || is_gone "$2"; } # <session> <model>

@test "uffd-keeper: keeper and server are killed in turn, 10 times, and every word of the guest is right" {
  require_userfaultfd
  local seed=${MODEL_SEED:-$RANDOM} i model
  printf '# MODEL_SEED=%s\n' "$seed" >&3
  "$HELPERS/pager-model" --make --mem memory --seed "$seed"
  export SNAPFORK_PAGER=$PWD/c.sock
  serve_here
  for i in {1..10}; do
    uffd-ctl create "vm$i=memory"
    spawn_to model.out "$HELPERS/pager-model" --mem memory --seed "$seed" --rounds 1 --socket "s/vm$i.sock"
    model=$spawned_pid
    wait_until 10 has_begun "vm$i" "$model"
    kill_keeper
    kill_foreign_server
    wait_for_successor
    wait_for_end "$model" 0 || fail "$(<model.out)"
    ((++seed))
  done
  assert_equal "$(uffd-ctl --json health | jq -c '.keeper | [.keepers, .restarts]')" '[10,10]'
}

@test "uffd-keeper: a keeper that is stopped does not answer: it is killed and replaced" {
  require_userfaultfd
  serve_here
  uffd-ctl create vm=memory
  hold_vmm s/vm.sock --pages 10
  local before=$server
  kill -STOP "$before"
  uffd-ctl create another=memory # the server waits for the answer at most 2 s
  wait_until 10 keeper_is_another "$before"
  wait_until 10 is_gone "$before"
  server=$(uffd-ctl --json health | jq .keeper.pid)
  wait_until 10 has_one_child
  kill_foreign_server
  is_served vm
  uffd-ctl session another
  release_vmm
}

@test "uffd-keeper: a server whose keeper was replaced ends by itself, and so does the keeper" {
  serve_here
  kill_keeper
  local pid
  pid=$(uffd-ctl --json health | jq .keeper.server_pid)
  kill -TERM "$server" # which passes it on
  wait_until 10 is_gone "$pid"
  wait_until 10 is_gone "$server"
  [[ ! -e c.sock ]]
  run -0 find s -mindepth 1
  assert_equal "$output" ''
}

@test "uffd-keeper: a server that is killed before its new keeper has everything: the next one recovers the guests" {
  require_userfaultfd
  mkdir -m 700 run
  mount -t tmpfs none run 2>/dev/null || skip 'needs to mount a tmpfs'
  export SNAPFORK_PAGER=$PWD/run/c.sock
  serve --keep --control "$PWD/run/c.sock"
  uffd-ctl create vm=memory
  hold_vmm run/s/vm.sock --pages 10
  local serving before=$server
  wait_for_successor
  serving=$(serving_pid)
  # At a random point of the transfer.
  kill -KILL "$before"
  read -rt "0.00$((RANDOM % 10))" <> <(:) || true
  kill -KILL "$serving"
  wait_until 10 is_gone "$serving"
  if ! wait_until 5 is_served vm; then # the server had not started a keeper
    serve --keep --control "$PWD/run/c.sock"
    is_served vm
  fi
  release_vmm
}
