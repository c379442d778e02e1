#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A guest is Running while any process is its VMM, whoever started that process. It can then be neither started again nor
# deleted.
# shellcheck disable=SC2030,SC2031,SC2154 # spawned is of each test; stderr and spawned_pid are set by run and the helpers

load helpers

setup() {
  require_root
  mkfifo "$BATS_TEST_TMPDIR/hold"
  exec {hold}<>"$BATS_TEST_TMPDIR/hold"
}

teardown() {
  exec {hold}>&-
  drop_store
}

# Makes a store with a template that has a disk, and a fork of it.
make_fork() { # <option of fork>...
  make_store xfs
  "$HELPERS/write-vmstate" "$BATS_TEST_TMPDIR/state" 10.0.0 2 drive=/srv/vm/root.ext4
  head -c 2M /dev/urandom >"$BATS_TEST_TMPDIR/memory"
  truncate -s 1M "$BATS_TEST_TMPDIR/root.ext4"
  snapfork -q import base --state "$BATS_TEST_TMPDIR/state" --memory "$BATS_TEST_TMPDIR/memory" \
    --disk "$BATS_TEST_TMPDIR/root.ext4=/srv/vm/root.ext4" 2>/dev/null
  snapfork -q promote base
  snapfork -q fork --backend uffd "$@" base f >/dev/null
}

state_is() { # <state>
  [[ $(snapshot-meta state -q f) == "$1" ]]
}

# `run` and `delete` are refused, and the reason contains PART.
assert_refused_as_running() { # <part>
  run -0 --separate-stderr snapshot-meta state f
  assert_equal "$output" Running
  assert_contains "$stderr" "$1"
  run -1 --separate-stderr snapfork run --backend file f -- touch "$BATS_TEST_TMPDIR/ran"
  assert_contains "$stderr" "cannot run 'f': it is already Running: "
  assert_contains "$stderr" "$1"
  [[ ! -e $BATS_TEST_TMPDIR/ran ]]
  run -1 --separate-stderr snapfork delete f
  assert_contains "$stderr" "$1"
  run -1 --separate-stderr snapfork fork --backend file f g
  assert_contains "$stderr" "cannot fork 'f': it is Running"
  run -1 --separate-stderr snapfork promote f
  assert_contains "$stderr" Running
  snapshot-meta list --json | jq -e 'select(.id == "f").state == "Running"'
}

# Makes a command for `run` that starts a VMM on the fork's session and exits when the VMM is served.
make_launcher() {
  cat >"$BATS_TEST_TMPDIR/launch" <<'LAUNCH'
#!/bin/bash
hold=$2
exec {hold}>&- # else the VMM holds itself
setsid uffd-probe --socket "$SNAPFORK_UFFD_SOCKET" --mem "$SNAPFORK_MEMORY" --hold <"$1/hold" >"$1/vmm.log" 2>&1 &
until grep -q ready "$1/vmm.log"; do
  kill -0 $! || exit 1
done
LAUNCH
  chmod +x "$BATS_TEST_TMPDIR/launch"
}

served_pid() { # <id>
  uffd-ctl --control "$SNAPFORK_PAGER" sessions | awk -v id="$1@" 'index($1, id) == 1 { print $3 }'
}

@test "guest is Running while its VMM is served, although its launcher ended" {
  make_fork
  make_launcher
  run -0 snapfork run f -- "$BATS_TEST_TMPDIR/launch" "$BATS_TEST_TMPDIR" "$hold"
  local vmm
  vmm=$(served_pid f)
  spawned+=("$vmm")
  assert_refused_as_running "process $vmm (uffd-probe) is connected to the page server"
  kill -0 "$vmm"
  run -0 snapfork delete --stop f
  wait_until 10 is_gone "$vmm"
  snapfork -q delete base
  assert_nothing_left
}

@test "guest that hangs because its page server was killed is Running, and delete --stop ends it" {
  export SNAPFORK_KEEPER=0 # by design
  make_fork
  make_launcher
  run -0 snapfork run f -- "$BATS_TEST_TMPDIR/launch" "$BATS_TEST_TMPDIR" "$hold"
  local vmm
  vmm=$(served_pid f)
  spawned+=("$vmm")
  kill -KILL "$(pager_pids)"
  wait_until 10 no_pager
  assert_refused_as_running "process $vmm (uffd-probe) is connected to the page server"
  run -0 snapfork delete --stop f
  wait_until 10 is_gone "$vmm"
  [[ ! -e $SNAPFORK_ROOT/guests/f ]]
}

@test "guest is Running while an unrecorded process has its disk open, and --stop names and does not end it" {
  make_fork --backend file
  # shellcheck disable=SC2016 # for the shell in there
  run -0 snapfork run f -- bash -c 'exec 9<>"$0"; setsid tail -f /dev/null >/dev/null 2>&1 3>&- 4>&- & echo $! >"$1"' \
    "$SNAPFORK_ROOT/guests/f/root.ext4" "$BATS_TEST_TMPDIR/pid"
  local vmm
  vmm=$(<"$BATS_TEST_TMPDIR/pid")
  spawned+=("$vmm")
  wait_until 10 runs_as "$vmm" tail
  assert_refused_as_running "process $vmm (tail) has '$SNAPFORK_ROOT/guests/f/root.ext4' open for writing"
  # It may be the VMM or not: it was not recorded.
  run -1 --separate-stderr snapfork delete --stop f
  assert_contains "$stderr" "cannot stop 'f': process $vmm (tail) has"
  kill -0 "$vmm"
  kill -KILL "$vmm"
  wait_until 10 is_gone "$vmm"
  wait_until 10 state_is Standby
}

@test "guest is Running while a VMM that was started without run has its disk open, also in another PID namespace" {
  require_namespaces --pid --fork --mount-proc
  make_fork --backend file
  # shellcheck disable=SC2016 # for the shell in there
  spawn unshare --pid --fork --kill-child --mount-proc bash -c 'exec 9<>"$0"; exec tail -f /dev/null' \
    "$SNAPFORK_ROOT/guests/f/root.ext4"
  wait_until 10 state_is Running
  # The same from a namespace that does not show that process.
  run -0 --separate-stderr unshare --pid --fork --mount-proc snapshot-meta state f
  assert_equal "$output" Running
  assert_contains "$stderr" 'a process that is not visible here has'
}

# Runs the fork in a PID namespace, as a process that is not the first one there.
run_in_namespace() { # <option of unshare>...
  # shellcheck disable=SC2016 # for the shell in there
  spawn_to "$BATS_TEST_TMPDIR/log" unshare --pid --fork --kill-child "$@" bash -c \
    'snapfork run f -- bash -c ": >\"\$0\"; exec tail -f /dev/null" "$0"; exit' "$BATS_TEST_TMPDIR/in"
  wait_until 10 test -e "$BATS_TEST_TMPDIR/in" || fail "$(<"$BATS_TEST_TMPDIR/log")"
  is_a_tail() { [[ $(snapshot-meta state f 2>&1) == *'(tail)'* ]]; }
  wait_until 10 is_a_tail
}

@test "guest that runs in a PID namespace is Running in all others, and Standby when it has ended" {
  require_namespaces --pid --fork --mount-proc
  make_fork --backend file
  local mount
  for mount in --mount-proc --kill-child; do # with its own /proc, and with that of the parent
    rm -f "$BATS_TEST_TMPDIR/in"
    run_in_namespace "$mount"
    [[ $(snapshot-meta get f HypervisorPID) -lt 20 ]]
    assert_refused_as_running '(tail) is its recorded VMM'
    kill -KILL "$spawned_pid"
    wait_until 10 state_is Standby
    # From another namespace it could not be determined that the first process has ended.
    snapshot-meta unset f HypervisorPID
  done
}

@test "running guest with damaged metadata is not deleted, and --stop ends its VMM" {
  make_fork --backend file
  spawn "$(type -P snapfork)" run f -- tail -f /dev/null
  local vmm=$spawned_pid
  wait_until 10 runs_as "$vmm" tail
  sed -i 's/^}$/,,/' "$SNAPFORK_ROOT/guests/f/metadata.json"
  run -1 --separate-stderr snapfork delete f
  assert_contains "$stderr" "process $vmm ("
  assert_contains "$stderr" ") is its recorded VMM"
  run -0 --separate-stderr snapshot-meta state f
  assert_equal "$output" Running
  # With an empty metadata.json only the open files show it.
  echo x >"$SNAPFORK_ROOT/guests/f/metadata.json"
  exec {memory}<"$SNAPFORK_ROOT/guests/f/snapshots/snapshot-latest/memory"
  run -1 --separate-stderr snapfork delete f
  assert_contains "$stderr" "memory' open"
  exec {memory}>&-
  printf '{"HypervisorPID": %s, "HypervisorStartTime": %s, torn' "$vmm" "$(awk '{ print $22 }' "/proc/$vmm/stat")" \
    >"$SNAPFORK_ROOT/guests/f/metadata.json"
  run -0 snapfork delete --stop f
  wait_until 10 is_gone "$vmm"
  [[ ! -e $SNAPFORK_ROOT/guests/f ]]
}

@test "delete --stop never ends a process whose start time is not the recorded one" {
  make_fork --backend file
  spawn tail -f /dev/null
  local stranger=$spawned_pid
  snapshot-meta set f "HypervisorPID:=$stranger"
  run -1 --separate-stderr snapfork delete --stop f
  assert_contains "$stderr" "process $stranger (tail) has the pid of its recorded VMM, whose start time is not known"
  kill -0 "$stranger"
  snapshot-meta set f HypervisorStartTime:=7
  run -0 snapfork delete --stop f
  kill -0 "$stranger"
}

@test "delete --stop reports a VMM that has no pid in this namespace, and ends nothing" {
  require_namespaces --pid --fork --mount-proc
  make_fork --backend file
  run_in_namespace --mount-proc
  run -1 --separate-stderr unshare --pid --fork --mount-proc "$(type -P snapfork)" delete --stop f
  assert_contains "$stderr" "its VMM is recorded as process "
  assert_contains "$stderr" " in another PID namespace"
  state_is Running
  run -0 snapfork delete --stop f
}

@test "run keeps the locks of an outer template-lock, and no lock of its own" {
  make_fork --backend file
  # shellcheck disable=SC2016 # for the shell in there
  run -0 template-lock --shared base -- "$(type -P snapfork)" run f -- \
    bash -c 'template-lock holders base; echo --; template-lock holders f; echo "$SNAPFORK_LOCK_FD"'
  assert_contains "${lines[0]}" shared
  assert_equal "${lines[-2]}" --
  [[ ${lines[-1]} =~ ^[0-9]+$ ]]
}
