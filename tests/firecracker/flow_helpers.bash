# SPDX-License-Identifier: Apache-2.0
# flow_helpers.bash: a store for each test, and checks that nothing is left in it at the end.
# shellcheck shell=bash

flow_setup() {
  require_firecracker
  make_store
}

make_store() {
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/store SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/pager.sock
  mkdir -p "$SNAPFORK_ROOT"
}

# Runs the driver. Its page server must not hold the descriptors of bats.
snapfork() {
  command snapfork -q "$@" 3>&- 4>&-
}

# Makes forks; the records are in $BATS_TEST_TMPDIR/forks, the ids in $forks.
fork_guests() { # <options and operands of `snapfork fork`...>
  snapfork fork --backend uffd "$@" >"$BATS_TEST_TMPDIR/forks"
  # shellcheck disable=SC2034 # for the tests
  mapfile -t forks < <(jq -r .id "$BATS_TEST_TMPDIR/forks")
}

fork_record() { # <fork> <jq expression>
  jq -c --arg id "$1" "select(.id == \$id) | $2" "$BATS_TEST_TMPDIR/forks"
}

# Loads a fork into a new Firecracker with the request of its record.
restore_fork() { # <fork>
  vm_restore "$1" "$(fork_record "$1" .snapshot_load)"
}

# Loads a fork by `snapfork run`, which gives its command the request.
restore_fork_in_run() { # <fork> [option of run]...
  local load
  load=$(vm_dir "$1")/load.json
  mkdir -p "${load%/*}"
  # shellcheck disable=SC2016 # the variable is set by `snapfork run`
  vm_start "$1" "$(type -P snapfork)" -q run "${@:2}" "$1" -- \
    bash -c 'printf "%s" "$SNAPFORK_LOAD" >"$0" && exec "$@"' "$load"
  vm_api "$1" PUT /snapshot/load "$(<"$load")"
}

# Fails if the command does not succeed in time.
eventually() { # <command...>
  wait_until "$ANSWER_SECONDS" "$@"
}

absent() { # <path>
  [[ ! -e $1 ]]
}

session() { # <fork> <jq expression>: of what the page server reports about it
  uffd-ctl session "$(snapshot-meta session-name "$1")" | jq -r "$2"
}

no_session() { # <fork>
  ! uffd-ctl session "$(snapshot-meta session-name "$1")" >/dev/null 2>&1
}

# Prints the pids of processes with a path of this test on their command lines.
pids() {
  local file words
  for file in /proc/[0-9]*/cmdline; do
    mapfile -d '' -t words <"$file" || continue
    [[ "${words[*]}" != *"$BATS_TEST_TMPDIR/"* ]] || basename "${file%/cmdline}"
  done 2>/dev/null
}

no_processes() {
  [[ -z $(pids) ]]
}

# Checks that no file of a guest, no socket, process or mount is left. Lock files and the log of the server stay.
nothing_is_left() {
  eventually no_processes
  local left
  left=$(find "$SNAPFORK_ROOT" -mindepth 1 ! -path "$SNAPFORK_ROOT/.snapfork/locks/*" ! -type d)
  left+=$(find "$SNAPFORK_ROOT/guests" "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1 2>/dev/null || true)
  [[ ! -d $BATS_TEST_TMPDIR/run ]] || left+=$(find "$BATS_TEST_TMPDIR/run" ! -type d ! -name pager.log ! -name start.lock ! -name '*.lock')
  left+=$(grep -F "$BATS_TEST_TMPDIR/" /proc/self/mountinfo || true)
  [[ -z $left ]] || fail 'left behind:' "$left"
}

stop_everything() {
  local pid
  vm_kill_all
  for pid in $(pids); do kill -KILL "$pid" || true; done
}
