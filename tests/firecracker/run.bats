#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork run, restore and stop with a real Firecracker, which snapfork starts.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers
load run_helpers

setup() {
  flow_setup
  firecracker_options
}
teardown() { stop_everything; }

state_is() { # <fork> <state>
  [[ $(snapshot-meta state "$1") == "$2" ]]
}

# Nothing of a VMM of the fork is left, and the fork can run.
no_vmm_is_left() { # <fork>
  state_is "$1" Standby
  [[ ! -e $BATS_TEST_TMPDIR/run/vm/$(snapshot-meta session-name "$1") ]]
  eventually no_processes_of "$1"
}

no_processes_of() { # <fork>
  ! pgrep -f -- "$BATS_TEST_TMPDIR/run/vm/$1@" >/dev/null
}

@test "run --detach: the guest computes the same result, and stop leaves nothing but the fork" {
  make_base_template
  local backend
  for backend in file uffd; do
    fork_guests --backend "$backend" base "$backend"
    run_fork "$backend"
    [[ $(run_record "$backend" '[.type, .id, .backend, .firecracker_id] | join(" ")') == "run $backend $backend $backend" ]]
    [[ $(run_record "$backend" '.seconds | [.start, .load, .hooks, .resume] | map(type) | unique | join(" ")') == number ]]
    state_is "$backend" Running
    [[ $(guest_answers "$backend" sum) == "$sum" ]]
    run -1 snapfork run "${firecracker_options[@]}" "$backend"
    [[ $output == *'it is already Running'* ]]
    run -1 snapfork delete "$backend"
    snapfork stop "$backend"
    no_vmm_is_left "$backend"
    snapfork stop "$backend" # nothing to do
  done
  # The first load used the page server, the second one does not.
  run_fork uffd
  [[ $(run_record uffd .backend) == file ]]
  snapfork delete --stop file uffd
  snapfork delete base
  nothing_is_left
}

@test "run stays with its VMM, passes on signals and the exit status, and ends it when it is killed" {
  make_base_template
  fork_guests --backend uffd base a
  local signal status driver
  for signal in TERM INT HUP; do
    rm -f "$BATS_TEST_TMPDIR/a.run" # the record of the run before
    command snapfork run "${firecracker_options[@]}" --backend file a >"$BATS_TEST_TMPDIR/a.run" 3>&- 4>&- &
    driver=$!
    eventually test -s "$BATS_TEST_TMPDIR/a.run"
    [[ $(guest_answers a ping) == pong* ]]
    kill -s "$signal" "$driver"
    status=0
    wait "$driver" || status=$?
    case $signal in
      TERM) ((status == 143)) ;;
      INT) ((status == 130)) ;;
      HUP) ((status != 0)) ;; # Firecracker handles it
    esac
    state_is a Standby
    [[ $(ls "$BATS_TEST_TMPDIR"/run/vm/a@*) == $'console\nguest\noptions' ]]
  done
  rm "$BATS_TEST_TMPDIR/a.run"
  command snapfork run "${firecracker_options[@]}" --backend file a >"$BATS_TEST_TMPDIR/a.run" 3>&- 4>&- &
  driver=$!
  eventually test -s "$BATS_TEST_TMPDIR/a.run"
  kill -KILL "$driver"
  wait "$driver" || true
  eventually no_processes_of a
  eventually state_is a Standby # a process that ends has no command line
  snapfork delete a base
  nothing_is_left
}

@test "commands of run see a paused, then a running guest; one that fails ends the VMM" {
  make_base_template
  fork_guests --backend uffd base a
  # shellcheck disable=SC2016 # for the commands
  run_fork a --after-load 'fc-api "$SNAPFORK_API_SOCKET" GET / | jq -r .state >"'"$BATS_TEST_TMPDIR"'/paused"; echo noise' \
    --on-ready 'fc-api "$SNAPFORK_API_SOCKET" GET / | jq -r .state >"'"$BATS_TEST_TMPDIR"'/ready"
      echo "$SNAPFORK_FORK $SNAPFORK_VMM_PID $SNAPFORK_VMM_VERSION $SNAPFORK_BACKEND ${SNAPFORK_LOCK_FD-none}" >>"'"$BATS_TEST_TMPDIR"'/ready"'
  [[ $(<"$BATS_TEST_TMPDIR/paused") == Paused ]]
  [[ $(<"$BATS_TEST_TMPDIR/ready") == $'Running\n'"a $(run_record a .pid) $(run_record a .version) uffd none" ]]
  [[ $(wc -l <"$BATS_TEST_TMPDIR/a.run") -eq 1 ]]
  snapfork stop a
  local option
  for option in --after-load --on-ready; do
    run -125 run_fork a "$option" 'exit 7'
    [[ $output == *"cannot run 'a': the command of $option ended with status 7"* ]]
    no_vmm_is_left a
  done
  # A guest that is deleted while its command runs.
  run -125 run_fork a --after-load 'snapfork delete --stop a'
  [[ ! -e $SNAPFORK_ROOT/guests/a ]]
  snapfork delete base
  nothing_is_left
}

@test "a Firecracker that waits is used by run --socket, and one that loaded is not" {
  make_base_template
  fork_guests -n 2 base
  local a=${forks[0]} b=${forks[1]} socket
  snapfork run --prepare --detach "${firecracker_options[@]}" "$a" >"$BATS_TEST_TMPDIR/vmm"
  socket=$(jq -r .api_socket "$BATS_TEST_TMPDIR/vmm")
  state_is "$a" Standby
  run -1 snapfork run "${firecracker_options[@]}" "$a"
  [[ $output == *'a VMM uses it'* ]]
  snapfork run --socket "$socket" "$a" >"$BATS_TEST_TMPDIR/$a.run"
  [[ $(run_record "$a" .pid) == "$(jq .pid "$BATS_TEST_TMPDIR/vmm")" ]]
  [[ $(guest_answers "$a" sum) == "$sum" ]]
  run -1 snapfork run --socket "$socket" "$b"
  [[ $output == *'it does not wait for a snapshot'* ]]
  state_is "$b" Standby
  # A failure before the load leaves the VMM.
  snapfork run --prepare --detach "${firecracker_options[@]}" "$b" >"$BATS_TEST_TMPDIR/vmm"
  socket=$(jq -r .api_socket "$BATS_TEST_TMPDIR/vmm")
  run -1 snapfork run --socket "$socket" --tap absent=tap0 "$b"
  fc-api "$socket" GET /version
  # A failure after it ends the VMM.
  run -125 snapfork run --socket "$socket" --after-load false "$b"
  run -1 fc-api "$socket" GET /version
  state_is "$b" Standby
  # delete ends a VMM that waits.
  snapfork run --prepare --detach "${firecracker_options[@]}" "$b"
  snapfork delete --stop "$a" "$b"
  snapfork delete base
  nothing_is_left
}

@test "restore uses the page server once, then the file" {
  make_base_template
  fork_guests --backend uffd base a
  snapfork restore "${firecracker_options[@]}" a >"$BATS_TEST_TMPDIR/a.run"
  [[ $(run_record a .backend) == uffd && $(guest_answers a sum) == "$sum" ]]
  [[ $(snapshot-meta get a FirecrackerUseUFFDOnNextRestore) == false ]]
  snapfork stop --timeout 1 a
  snapfork restore "${firecracker_options[@]}" a >"$BATS_TEST_TMPDIR/a.run"
  [[ $(run_record a .backend) == file && $(guest_answers a sum) == "$sum" ]]
  # This guest does not react to Ctrl-Alt-Del.
  snapfork stop --graceful 0.3 a
  no_vmm_is_left a
  snapfork delete a base
  nothing_is_left
}

@test "twenty forks start at once, and end at once" {
  make_base_template
  fork_guests -n 20 base
  printf '%s\n' "${forks[@]}" | xargs -P 20 -I{} snapfork -q run --detach "${firecracker_options[@]}" \
    --after-load ':' {} >"$BATS_TEST_TMPDIR/records"
  [[ $(jq -r .id "$BATS_TEST_TMPDIR/records" | sort) == "$(printf '%s\n' "${forks[@]}" | sort)" ]]
  local fork
  for fork in "${forks[@]}"; do state_is "$fork" Running; done
  printf '%s\n' "${forks[@]}" | xargs -P 20 -n 1 snapfork -q stop
  for fork in "${forks[@]}"; do no_vmm_is_left "$fork"; done
  snapfork delete "${forks[@]}"
  snapfork delete base
  nothing_is_left
}

@test "two runs of one fork at once: one runs it, the other is refused" {
  make_base_template
  fork_guests --backend uffd base a
  # shellcheck disable=SC2016 # for that shell
  seq 2 | xargs -P 2 -I{} bash -c 'snapfork -q run --detach "${@:2}" a >"$1.record" 2>"$1.errors"; echo $? >"$1.status"' _ \
    "$BATS_TEST_TMPDIR/{}" "${firecracker_options[@]}"
  [[ $(sort -n "$BATS_TEST_TMPDIR"/[12].status | paste -sd ' ') == '0 1' ]]
  state_is a Running
  snapfork delete --stop a
  snapfork delete base
  nothing_is_left
}
