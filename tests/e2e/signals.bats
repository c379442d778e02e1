#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# After a signal to the driver alone, not to its process group, the driver undoes the flow before it exits.
# shellcheck disable=SC2154 # stderr and spawned_pid are set by run and the helpers

load helpers
load ../cli/template-lock_helpers
load ../fake_firecracker
load ../standby_guest

setup() {
  require_root
  make_store xfs
  make_template
  stand_ins=$BATS_TEST_TMPDIR/stand-ins
  mkdir "$stand_ins"
  export STEP='' BLOCKED=$BATS_TEST_TMPDIR/blocked
  make_stand_ins
  wait_until 10 no_pager
}

teardown() {
  fake_kill_all
  drop_store
}

# Makes programs that block once, at the step that begins with the pattern STEP: instead of it ("before"), or when the real
# program has done it ("after"), with as much of its output as the driver reads with a time limit (read_answer). They make the
# file BLOCKED then. The blocking program must not watch its standard output, as tail does, because it would end with a driver
# that is killed. The words after -- are a step of their own.
make_stand_ins() {
  local program
  for program in snapshot-meta reflink-clone uffd-keeper uffd-ctl template-lock fc-api; do
    cat >"$stand_ins/$program" <<STAND_IN
#!/bin/bash
words="\$* "
[[ \$STEP && ! -e \$BLOCKED && ("$program \$*" == \$STEP* || " \${words%% -- *}" == *" "\$STEP" "*) ]] || exec "$(type -P "$program")" "\$@"
[[ \$WHEN == before ]] || "$(type -P "$program")" "\$@" | head -c 200
: >"\$BLOCKED"
exec sleep infinity
STAND_IN
    chmod +x "$stand_ins/$program"
  done
}

# Starts the driver, waits until it is at the step, and sends it the signal. Its status is in `status`.
stop_flow() { # <signal> <before|after> <step> <arguments of snapfork...>
  local sent=$1 when=$2 step=$3
  shift 3
  rm -f "$BLOCKED"
  spawn_to "$BATS_TEST_TMPDIR/said" env PATH="$stand_ins:$PATH" STEP="$step" WHEN="$when" snapfork "$@"
  wait_until 20 test -e "$BLOCKED"
  kill -s "$sent" "$spawned_pid"
  status=0
  wait "$spawned_pid" || status=$?
  refute_contains "$(<"$BATS_TEST_TMPDIR/said")" 'Hangup'
  refute_contains "$(<"$BATS_TEST_TMPDIR/said")" 'Terminated'
}

expected_status() { # <signal>
  kill -l "$1" | awk '{ print 128 + $1 }'
}

sessions() {
  uffd-ctl sessions 2>/dev/null || true
}

# Checked without waiting: no process may still run. A caller with "||" turns errexit off.
assert_undone() { # <signal> <baseline>
  assert_equal "$status" "$(expected_status "$1")" || return 1
  assert_equal "$(store_listing)" "$2" || return 1
  local id
  for id in base new f; do
    assert_equal "$(template-lock holders "$id")" '' || return 1
  done
}

# Tests each step with one of the signals, and the last step with each.
undone_at() { # <steps, a line each> <arguments of snapfork...>
  local steps=() signals=(TERM INT HUP) i=0 step when baseline others
  mapfile -t steps <<<"$1"
  shift
  baseline=$(store_listing)
  others=$(sessions)
  for step in "${steps[@]}" "${steps[-1]}" "${steps[-1]}"; do
    for when in before after; do
      stop_flow "${signals[i++ % 3]}" "$when" "$step" "$@"
      assert_undone "${signals[(i - 1) % 3]}" "$baseline" || fail "$* at $when '$step'"
      assert_equal "$(sessions)" "$others"
    done
  done
}

@test "import: a signal at any step leaves no guest" {
  undone_at "init --dry-run
snapshot-meta purge new
reflink-clone --durable --steady $SNAPSHOT/state
reflink-clone --durable --steady $SNAPSHOT/memory
snapshot-meta init new" import new --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
}

@test "promote: a signal at any step leaves an ordinary snapshot" {
  snapfork -q import new --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  undone_at "snapshot-meta state new
snapshot-meta verify new
reflink-clone --durable --unshare
template-lock seal new
snapshot-meta promote new" promote new
  run -0 snapshot-meta state new
  assert_equal "$output" Standby
}

@test "demote: a signal at any step leaves a template" {
  undone_at "template-lock guard
template-lock unseal base
snapshot-meta demote base" demote base
  run -0 snapshot-meta state base
  assert_equal "$output" Template
  run -0 snapshot-meta verify --deep base
}

@test "fork: a signal at any step leaves no fork and no session" {
  undone_at "template-lock --shared
snapshot-meta fork-begin
reflink-clone --profile
snapshot-meta fork-publish
create" fork --backend uffd base f
}

@test "fork: a signal while it waits for the locks touches nothing of their holder" {
  local clone=$SNAPFORK_ROOT/.snapfork/tmp/fork.f
  # shellcheck disable=SC2016
  spawn template-lock --shared base --exclusive f -- \
    sh -c 'snapshot-meta fork-begin base f && mkdir "$0" && touch begun && exec tail -f /dev/null' "$clone"
  wait_until 10 test -e begun
  spawn_to "$BATS_TEST_TMPDIR/said" snapfork fork --timeout 60 base f
  wait_until 10 has_waiter "$SNAPFORK_ROOT/.snapfork/locks/f.lock"
  kill -TERM "$spawned_pid"
  status=0
  wait "$spawned_pid" || status=$?
  assert_equal "$status" 143
  [[ -d $clone && -e $SNAPFORK_ROOT/guests/base/template/forks/f ]]
}

@test "fork: once its clone is made, it needs no file of the driver to undo its work" {
  local baseline
  baseline=$(store_listing)
  copy_driver driver
  waits_for_an_answer() { # read -t uses pselect6(2)
    [[ $(cut -d ' ' -f 1 "/proc/$spawned_pid/syscall") == 270 ]]
  }
  spawn_to "$BATS_TEST_TMPDIR/said" env PATH="$stand_ins:$PATH" STEP='snapshot-meta fork-publish' WHEN=before \
    "$BASH" driver/snapfork fork --backend file base f
  wait_until 20 test -e "$BLOCKED"
  wait_until 20 waits_for_an_answer
  rm -r driver
  kill -TERM "$spawned_pid"
  status=0
  wait "$spawned_pid" || status=$?
  assert_undone TERM "$baseline"
}

@test "fork: a signal just before the driver reads its parts leaves nothing, and ends the driver with its status" {
  local baseline call
  baseline=$(store_listing)
  copy_driver driver
  sed -i "s/^  read_parts() { :; }\$/  kill -TERM \$BASHPID; read_parts() { :; }\n  kill -TERM \$BASHPID/" driver/snapfork
  assert_equal "$(grep -c '^  kill -TERM' driver/snapfork)" 2
  for call in 'fork base f' '-v fork base f' 'fork base'; do
    # shellcheck disable=SC2086 # words
    run -143 "$BASH" driver/snapfork $call
    refute_contains "$output" 'command not found'
    assert_equal "$(store_listing)" "$baseline"
  done
}

@test "a driver that lacks a part names it, and changes nothing" {
  local baseline part parts
  baseline=$(store_listing)
  copy_driver whole
  parts=(whole/libexec/snapfork/lib/{steps,fork_clone,message,json,undo,step_forms,guests,pager,fork_publish,pager_path,checks,options}.bash
    whole/libexec/snapfork/fork.bash whole/libexec/snapfork/lib/pager_start.bash)
  for part in "${parts[@]#whole/}"; do
    cp -R whole driver
    rm "driver/$part"
    run -5 "$BASH" driver/snapfork fork --backend uffd base f
    assert_contains "$output" "snapfork: cannot read 'driver/$part': "
    refute_contains "$output" 'command not found'
    assert_equal "$(store_listing)" "$baseline"
    rm -r driver
  done
}

@test "fork: if reflink-clone is killed, nothing is published, and the reason is reported" {
  local baseline
  baseline=$(store_listing)
  spawn_to "$BATS_TEST_TMPDIR/said" env PATH="$stand_ins:$PATH" STEP='reflink-clone --profile' WHEN=before \
    snapfork --json fork --backend file base f
  wait_until 20 test -e "$BLOCKED"
  wait_until 20 pkill -KILL -P "$spawned_pid" sleep
  status=0
  wait "$spawned_pid" || status=$?
  ((status == 5))
  assert_contains "$(<"$BATS_TEST_TMPDIR/said")" "'reflink-clone' was killed by signal 9"
  assert_equal "$(store_listing)" "$baseline"
}

@test "fork -n: a signal at any step leaves no fork and no session; others keep theirs" {
  snapfork -q fork --backend uffd base other >/dev/null
  undone_at "reflink-clone --profile
snapshot-meta fork-publish
create" fork --backend uffd -n 5 base
  snapfork -q delete other
}

@test "fork --json: a signal to the outer process also undoes the flow" {
  undone_at "snapshot-meta fork-publish" --json fork --backend file base f
}

@test "promote --json: a signal during a step whose output is not printed has a record" {
  snapfork -q import new --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  stop_flow TERM before "reflink-clone --durable --unshare" --json promote new
  assert_equal "$status" 143
  run -0 jq -r '[.type, .program, .exit_code, .message] | @csv' "$BATS_TEST_TMPDIR/said"
  assert_equal "$output" "\"error\",\"snapfork\",143,\"cannot finish 'promote': ended by SIGTERM\""
}

@test "undo reads only what its own steps write, even if a signal came while a step was being started" {
  local lib
  lib=$(dirname "$(type -P snapfork)")/libexec/snapfork/lib
  cat >driver.bash <<END
for part in ask locks message json steps undo; do source "$lib/\$part.bash"; done
read_parts() { :; }
verb=fork json=0 verbose=0 dry_run=0 child='' feeder='' child_undoes=0 signal='' errors='' reported=0
undo_all() { ask state echo Standby && echo "the state is '\$state'" >undone; }
open_pipe answers
trap 'at_exit \$?' EXIT
undo=undo_all
exec {pipe}>"/dev/fd/\$answers" # as 'ask' does
printf Temp >&"\$pipe"
exit 1
END
  run -1 timeout -s KILL 20 bash driver.bash
  assert_equal "$(<undone)" "the state is 'Standby'"
}

@test "run: a signal before CMD leaves no session, and CMD is not started" {
  snapfork -q fork --backend uffd base f >/dev/null
  uffd-ctl close "$(snapshot-meta session-name f)"
  wait_until 10 no_pager
  undone_at "snapshot-meta own-paths f
create" run f -- touch "$BATS_TEST_TMPDIR/ran"
  stop_flow TERM before 'snapshot-meta run-begin --pid +([0-9]) f' run f -- touch "$BATS_TEST_TMPDIR/ran"
  assert_equal "$status" 143
  [[ ! -e $BATS_TEST_TMPDIR/ran ]]
  run -0 snapshot-meta state f
  assert_equal "$output" Standby
  wait_until 10 no_pager
}

@test "run: CMD ignores SIGINT if and only if the driver was started so" {
  snapfork -q fork --backend file base f >/dev/null
  # shellcheck disable=SC2016 # of the command
  local command=(snapfork run f -- sh -c 'grep SigIgn /proc/self/status')
  env --ignore-signal=INT "${command[@]}" >"$BATS_TEST_TMPDIR/ignored"
  env --default-signal=INT "${command[@]}" >"$BATS_TEST_TMPDIR/default"
  ((0x$(awk '{ print $2 }' "$BATS_TEST_TMPDIR/ignored") & 2))
  ((!(0x$(awk '{ print $2 }' "$BATS_TEST_TMPDIR/default") & 2)))
}

@test "delete: a signal leaves the guest unchanged, or completely deleted" {
  snapfork -q fork --backend file base f >/dev/null
  local baseline
  baseline=$(store_listing)
  stop_flow HUP after "template-lock guard" delete f
  assert_undone HUP "$baseline"
  stop_flow INT before "snapshot-meta trash --dry-run f" delete f
  assert_undone INT "$baseline"
  # With several ids, the current one is undone or finished, and the others are not begun.
  stop_flow TERM before "template-lock guard --for delete f" delete f base
  assert_undone TERM "$baseline"
}

@test "standby: a signal at any step before it publishes resumes the guest, and a later one has no effect" {
  make_guest g
  run_guest g
  snapshot-meta standby-begin g >/dev/null
  snapshot-meta standby-end g
  local baseline step when signals=(TERM INT HUP) i=0
  baseline=$(store_listing)
  for step in 'snapshot-meta standby-begin' 'PATCH /vm' 'PUT /snapshot/create'; do
    for when in before after; do
      stop_flow "${signals[i++ % 3]}" "$when" "$step" standby g
      assert_undone "${signals[(i - 1) % 3]}" "$baseline" || fail "at $when '$step'"
      [[ $(fake_api g GET / | jq -r .state) == Running ]] || fail "at $when '$step': not running"
    done
  done
  # Once the snapshot is written, a signal has no effect.
  spawn_to "$BATS_TEST_TMPDIR/said" env PATH="$stand_ins:$PATH" STEP='snapshot-meta standby-publish' WHEN=after \
    BLOCKED="$BATS_TEST_TMPDIR/published" snapfork standby g
  wait_until 20 test -e "$BATS_TEST_TMPDIR/published"
  kill -TERM "$spawned_pid"
  wait_until 20 pkill -KILL -P "$spawned_pid" sleep
  status=0
  wait "$spawned_pid" || status=$?
  ((status == 5)) # of the step that was killed
  [[ $(fake_api g GET / | jq -r .state) == Running ]]
  snapfork -q standby g
  [[ $(snapshot-meta state -q g) == Standby ]]
}

# Or the process has ended.
ignores_term() { # <pid>
  local ignored
  ignored=$(awk '$1 == "SigIgn:" { print $2 }' "/proc/$1/status" 2>/dev/null) || return 0
  ((0x$ignored & 1 << 14))
}

@test "a second signal does not interrupt the undo" {
  local baseline driver
  baseline=$(store_listing)
  spawn_to "$BATS_TEST_TMPDIR/said" env PATH="$stand_ins:$PATH" STEP="snapshot-meta fork-publish" WHEN=after \
    snapfork fork --backend file -n 20 base
  driver=$spawned_pid
  wait_until 20 test -e "$BLOCKED"
  kill -TERM "$driver"
  wait_until 20 ignores_term "$driver" # of two pending signals, bash handles the lower number first
  while kill -TERM "$driver" 2>/dev/null && kill -INT "$driver" 2>/dev/null; do read -rt 0.002 <> <(:) || true; done
  status=0
  wait "$driver" || status=$?
  assert_undone TERM "$baseline"
}

@test "step of a killed driver holds the locks until it ends" {
  spawn_to "$BATS_TEST_TMPDIR/said" env PATH="$stand_ins:$PATH" STEP="reflink-clone --profile" WHEN=before \
    snapfork fork --backend file base f
  wait_until 20 test -e "$BLOCKED"
  kill -KILL "$spawned_pid"
  wait "$spawned_pid" || true
  run -1 --separate-stderr template-lock --no-wait f -- true
  assert_contains "$stderr" "cannot lock 'f'"
  run -0 template-lock holders f
  assert_contains "$output" 'orphaned by'
  kill -KILL "$(cut -f1 <<<"$output")"
  wait_until 10 template-lock wait --timeout 0 f
  snapfork -q delete f || true
  run -0 snapshot-meta forks base
  assert_equal "$output" ''
}

# bash handles a signal between two commands, or when it ends a read that blocks. SIGTERM is sent here in the last system call
# before the read: bash is in the command already, and the read does not block yet.
@test "a signal that comes just before the driver reads the output of a step is not lost" {
  require_cmd strace
  local driver=(env --default-signal=INT "$BASH" "$(type -P snapfork)" fork base) calls=$BATS_TEST_TMPDIR/calls nth when later
  export PATH=$stand_ins:$PATH
  # The first child is the step that makes up an id. Before it reads a pipe, bash tries whether it can seek.
  STEP='' strace -qq -o "$calls" -e trace=lseek,clone,clone3,vfork,read -- "${driver[@]}" 3>&- 4>&- >/dev/null 2>&1
  nth=$(awk '/^lseek/ { seen++ } /^(clone|vfork)/ { child = 1 } child && /^lseek/ { print seen; exit }' "$calls")
  # The step has printed nothing, or its whole output, and does not end. The driver then reads once more.
  for when in before after; do
    for later in 0 1; do
      rm -f "$BLOCKED"
      STEP='snapshot-meta new-ids' WHEN=$when spawn_to "$BATS_TEST_TMPDIR/said" \
        strace -qq -o "$calls" -e trace=lseek -e "inject=lseek:signal=TERM:when=$((nth + later))" -- "${driver[@]}"
      wait_until 20 is_gone "$spawned_pid" || fail "the driver does not end ($when, $later): $(<"$BATS_TEST_TMPDIR/said")"
      status=0
      wait "$spawned_pid" || status=$?
      assert_equal "$status" 143
      assert_contains "$(<"$calls")" SIGTERM
    done
  done
}
