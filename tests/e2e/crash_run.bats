#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kill -9 during run, restore, stop and delete --stop: the guest is whole, and the next command ends or removes what is left.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load crash_helpers
load small_guest
load ../fake_firecracker

setup() {
  require_root
  require_cmd strace
  make_small_store
  make_stand_ins
  fake=$HELPERS/fake-firecracker
  export FAKE_VERIFY=$SOURCE/memory
  set +T # the trace of bats takes longer than the programs
}

teardown() {
  local pid
  for pid in $(processes); do kill -KILL "$pid" 2>/dev/null || true; done
  drop_store
}

# VMMs and their supervisors.
processes() {
  pgrep -f -- "--api-sock $BATS_TEST_TMPDIR/|fc-run .*--dir $BATS_TEST_TMPDIR/" || true
}

no_vmm() { [[ -z $(processes) ]]; }

is_standby() { [[ $(snapshot-meta state -q g) == Standby ]]; }

restore() { # [option]...
  snapfork -q restore --firecracker "$fake" "$@" g >/dev/null
}

nothing_to_prepare() { :; }

# A VMM that was started lives only if the guest is Running, and then it answers.
is_running_or_standby() {
  case $(snapshot-meta state -q g) in
    Running) [[ $(fc-api "$(snapshot-meta get g snapfork.api_socket)" GET / | jq -r .state) == @(Running|Paused) ]] ;;
    Standby) wait_until 20 no_vmm ;;
    *) return 1 ;;
  esac
}

# Neither a VMM nor a session, socket, directory or page server.
nothing_is_left() {
  local left
  wait_until 20 no_vmm && wait_until 20 no_pager || fail "processes: $(processes) $(pager_pids)" || return
  left=$(find "$BATS_TEST_TMPDIR"/run/{vm,s,v} -mindepth 1 2>/dev/null || true)
  left+=$(find "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1)
  assert_equal "$left" '' && snapshot-meta fsck && cmp "$SOURCE/memory" "$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/memory"
}

# The next run works, after a stop if the guest runs.
run_is_understood() {
  # A VMM whose driver was killed ends a moment later.
  is_running_or_standby || wait_until 20 is_running_or_standby || fail "state: $(snapshot-meta state g 2>&1)" || return
  is_standby || snapfork -q stop g || return
  restore "${backend[@]}" || fail 'the next restore' || return
  snapfork -q stop g || fail "stop" || return
  is_standby || fail "standby: $(snapshot-meta state g 2>&1)" || return
  nothing_is_left || fail left
}

# With a time limit for the lock, the driver makes each step by a program of its own; else one call of fc-run does most.
readonly STEP_BY_STEP=(--timeout 30)

@test "restore whose driver is killed at each step: the guest runs, or can run" {
  backend=()
  least_steps=1 at_each_step nothing_to_prepare run_is_understood snapfork restore --firecracker "$fake" g
  at_each_step nothing_to_prepare run_is_understood snapfork restore "${STEP_BY_STEP[@]}" --firecracker "$fake" g
}

@test "restore with a page server whose driver is killed at each step: the guest runs, or can run" {
  require_userfaultfd
  backend=(--backend uffd)
  at_each_step nothing_to_prepare run_is_understood snapfork restore --backend uffd --firecracker "$fake" g
}

@test "run with commands whose driver is killed at each step: the guest runs, or can run" {
  backend=()
  local run=(snapfork run --detach --firecracker "$fake" --after-load true --on-ready true)
  least_steps=2 at_each_step nothing_to_prepare run_is_understood "${run[@]}" g
  at_each_step nothing_to_prepare run_is_understood "${run[@]}" "${STEP_BY_STEP[@]}" g
}

@test "restore killed with all its processes at each change: the guest runs, or can run" {
  backend=()
  KILL_ALL=1 at_each_place nothing_to_prepare run_is_understood snapfork restore "${STEP_BY_STEP[@]}" --firecracker "$fake" g
}

@test "restore one of whose programs is killed at each change: the guest can run" {
  backend=()
  at_each_place nothing_to_prepare run_is_understood snapfork restore "${STEP_BY_STEP[@]}" --firecracker "$fake" g
}

@test "restore whose fc-run is killed at its calls: the command fails or the guest ends, and it can run" {
  local place form status killed bin=$BATS_TEST_TMPDIR/bin
  backend=()
  mkdir "$bin"
  # The tracer is not the parent (-D), because fc-run must be a child of the driver. It can have the lock, so it is ended when the
  # start has succeeded.
  cat >"$bin/fc-run" <<SH
#!/bin/bash
[[ " \$* " == *' --caller '* ]] || exec $(type -P fc-run) "\$@"
for fd in \${SNAPFORK_LOCK_FD//,/ }; do exec {fd}>&-; done
exec strace -D -I 1 -qq -o "$BATS_TEST_TMPDIR/calls" -e trace=\$CALL -e inject=\$CALL:signal=SIGKILL:when=\$NTH -- $(type -P fc-run) "\$@"
SH
  chmod +x "$bin/fc-run"
  for form in '' "${STEP_BY_STEP[*]}"; do
    killed=0
    for place in dup2:1 mkdir:2 flock:1 clone:1 clone:2 write:1 write:2 dup2:1 poll:1 poll:2 poll:3; do
      status=0
      # shellcheck disable=SC2086 # words
      PATH=$bin:$PATH CALL=${place%:*} NTH=${place#*:} restore $form 2>"$BATS_TEST_TMPDIR/said" || status=$?
      ((status == 0 || status == 5 || status == 125)) || fail "status $status at $place: $(<"$BATS_TEST_TMPDIR/said")" || return
      ((!status)) || killed=$((killed + 1))
      pkill -TERM -f "^strace -D .* $BATS_TEST_TMPDIR/calls " || true
      wait_for_locks
      run_is_understood || fail "after fc-run was killed at $place" || return
    done
    ((killed >= 5)) || fail "only $killed of the starts failed"
  done
}

is_restored() {
  is_standby || return 0
  restore
}

stop_is_understood() {
  is_running_or_standby || wait_until 20 is_running_or_standby || return
  snapfork -q stop g || fail "stop" || return
  is_standby || fail "standby: $(snapshot-meta state g 2>&1)" || return
  nothing_is_left || fail left
}

@test "stop whose driver is killed at each step: the next stop finishes" {
  at_each_step is_restored stop_is_understood snapfork stop g
}

with_running_guest() {
  restore_store
  restore
}

delete_is_understood() {
  if [[ -e $SNAPFORK_ROOT/guests/g ]]; then is_running_or_standby || return; fi
  snapfork -q delete --stop g 2>/dev/null || (($? == 1)) || return
  [[ ! -e $SNAPFORK_ROOT/guests/g ]] || return
  restore_store
  nothing_is_left
}

@test "delete --stop whose driver is killed at each step: the next delete finishes" {
  at_each_step with_running_guest delete_is_understood snapfork delete --stop g
}
