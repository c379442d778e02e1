#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Page servers under a keeper are killed while a guest of a real Firecracker reads, writes and uses its balloon.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers

setup() { flow_setup; }
teardown() {
  stop_everything
  umount -l "$BATS_TEST_TMPDIR/run" 2>/dev/null || true
}

restarts() { uffd-ctl health 2>/dev/null | jq .keeper.restarts; }

has_restarted() { # <count>
  local now
  now=$(restarts) && ((now >= $1))
}

kill_servers() { # <count>
  local before i
  for ((i = 0; i < $1; i++)); do
    before=$(restarts)
    kill -KILL "$(pgrep -of "^uffd-serve --keeper-fd=.* --control $SNAPFORK_PAGER ")" # the oldest serves
    eventually has_restarted $((before + 1))
  done
  touch "$BATS_TEST_TMPDIR/done"
}

# Pages are written, the balloon takes memory and returns it, and the guest verifies all pages after each step.
use_memory() { # <round>
  vm_ask a "work $1 2000" >/dev/null
  vm_api a PATCH /balloon '{"amount_mib": 48}'
  [[ $(vm_hear a 'balloon *') == 'balloon 12288 OK '* ]]
  [[ $(vm_ask a sum) == 'sum OK '*' ballooned=12288 '* ]]
  vm_api a PATCH /balloon '{"amount_mib": 0}'
  [[ $(vm_hear a 'balloon *') == 'balloon 0 OK '* ]]
  [[ $(vm_ask a sum) == 'sum OK '*' ballooned=0 '* ]]
}

@test "100 page servers are killed under a guest with a balloon: every sum is right" {
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50' '{"balloon": {"amount_mib": 0, "deflate_on_oom": false}}'
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" --memory "$BATS_TEST_TMPDIR/snapshot/memory"
  snapfork promote base
  fork_guests base a
  restore_fork a
  vm_ask a 'reads on'
  kill_servers 100 3>&- 4>&- &
  local killer=$! round=0
  until [[ -e $BATS_TEST_TMPDIR/done ]]; do use_memory $((++round)); done
  wait "$killer"
  (($(restarts) >= 100))
  printf '# %d rounds of the guest\n' "$round" >&3
  vm_kill a
  snapfork delete a base
  nothing_is_left
}

# The run directory is on tmpfs, as /run is: the states must outlive all processes.
kill_keeper_and_servers() {
  local keeper pids pid
  keeper=$(uffd-ctl health | jq .keeper.pid)
  kill -STOP "$keeper"
  mapfile -t pids < <(
    uffd-ctl health | jq .keeper.server_pid
    pgrep -P "$keeper" || true
  )
  kill -KILL "${pids[@]}" "$keeper" 2>/dev/null || true
  for pid in "${pids[@]}" "$keeper"; do eventually has_ended "$pid"; done
}
has_ended() { [[ ! -e /proc/$1/stat || $(<"/proc/$1/stat") == *') Z '* ]]; } # <pid>
is_served() { [[ $(session a .state 2>/dev/null) == serving ]]; }

@test "page server and keeper are killed at once under a guest with a balloon, 10 times: every sum is right" {
  mkdir -p "$BATS_TEST_TMPDIR/run"
  mount -t tmpfs -o mode=700 none "$BATS_TEST_TMPDIR/run" 2>/dev/null || skip 'needs to mount a tmpfs'
  export SNAPFORK_KEEPER=1
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7 guest.zero=50' '{"balloon": {"amount_mib": 0, "deflate_on_oom": false}}'
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" --memory "$BATS_TEST_TMPDIR/snapshot/memory"
  snapfork promote base
  fork_guests base a
  restore_fork a
  vm_ask a 'reads on'
  local round
  for round in {1..10}; do
    use_memory "$round" 3>&- 4>&- &
    local user=$!
    kill_keeper_and_servers
    uffd-serve --keep --recover --control "$SNAPFORK_PAGER" 2>>"$BATS_TEST_TMPDIR/recover.log" 3>&- 4>&- &
    eventually is_served
    wait "$user"
  done
  (($(grep -c 'whose page server was killed' "$BATS_TEST_TMPDIR/recover.log") == 10))
  vm_kill a
  snapfork delete a base
  eventually no_processes
  umount "$BATS_TEST_TMPDIR/run"
  nothing_is_left
}
