#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# fc-run guest: lock, checks, start and load of a guest in one process. tests/cli/snapfork-run.bats calls it by snapfork run.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load ../run_steps

setup() {
  common_setup
  require_cmd jq
  fake=$HELPERS/fake-firecracker
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/pager.sock
  make_template_with_devices >/dev/null 2>&1
  command snapfork -q fork --backend file base a >/dev/null 2>&1
  lock=$SNAPFORK_ROOT/.snapfork/locks/a.lock
}
teardown() {
  [[ ! -d run/vm ]] || fc-run --end --dir "$(vm_dir a)"
  common_teardown
}

run_guest() { # <file for descriptor 9> <word...>
  fc-run guest --firecracker "$fake" --lock-fd 9 "${@:2}" 9<"$1" 3>&- 4>&-
}

nothing_started() {
  [[ ! -e $(vm_dir a) ]] && ! pgrep -f -- "--api-sock $BATS_TEST_TMPDIR/" >/dev/null
}

@test "fc-run guest: help, and options that do not belong together" {
  run -0 fc-run guest --help
  (($(wc -l <<<"$output") <= 45)) || fail "too long"
  run -2 --separate-stderr fc-run guest a
  assert_contains "$stderr" '--lock-fd N is needed'
  run -2 --separate-stderr run_guest "$lock"
  run -2 --separate-stderr run_guest "$lock" a b
  run -2 --separate-stderr run_guest "$lock" ../a
  run -2 --separate-stderr run_guest "$lock" --backend uffd a
  run -2 --separate-stderr run_guest "$lock" --dir "$PWD/x" a
  SNAPFORK_PAGER='' XDG_RUNTIME_DIR='' run --separate-stderr run_guest "$lock" --tap nonsense a
  ((status == 2))
  nothing_started
}

@test "fc-run guest loads the guest, prints what it did, and releases its copy of the lock" {
  FAKE_VERIFY=$PWD/memory run -0 --separate-stderr run_guest "$lock" --detach a
  assert_contains "$output" "session"$'\t'"$(snapshot-meta session-name a)"
  assert_contains "$output" "vsock"$'\t'"$SNAPFORK_ROOT/guests/a/vsock.sock"
  run -0 jq -e '.type == "vmm" and .seconds.start > 0 and .seconds.load > 0' <<<"${lines[-1]}"
  assert_equal "$(snapshot-meta state a 2>/dev/null)" Running
  assert_equal "$(fc-api "$(vm_dir a)/api.sock" GET / | jq -r .state)" Running
  run -0 template-lock holders a
  assert_equal "$output" ''
  run -1 --separate-stderr run_guest "$lock" a
  assert_contains "$stderr" "cannot run 'a': it is already Running"
  snapfork -q stop a
  run -0 --separate-stderr run_guest "$lock" --detach --no-resume a
  assert_equal "$(fc-api "$(vm_dir a)/api.sock" GET / | jq -r .state)" Paused
}

@test "fc-run guest starts nothing for a guest that needs the page server" {
  snapshot-meta set a FirecrackerUseUFFDOnNextRestore:=true
  run -0 --separate-stderr run_guest "$lock" a
  assert_contains "$output" 'backend'$'\t''uffd'
  refute_contains "$output" '{'
  nothing_started
  run -0 --separate-stderr run_guest "$lock" --backend file --detach a
  assert_contains "$output" '"type":"vmm"'
}

@test "fc-run guest refuses a guest that cannot run, a lock that is held, and another lock file" {
  run -1 --separate-stderr run_guest "$SNAPFORK_ROOT/.snapfork/locks/base.lock" base
  assert_contains "$stderr" "cannot run 'base': it is a template"
  : >"$SNAPFORK_ROOT/.snapfork/locks/none.lock"
  run -1 --separate-stderr run_guest "$SNAPFORK_ROOT/.snapfork/locks/none.lock" none
  run -75 --separate-stderr run_guest "$SNAPFORK_ROOT/.snapfork/locks/base.lock" a
  # shellcheck disable=SC2016 # for that shell
  run -1 --separate-stderr template-lock a -- env -u SNAPFORK_LOCK_FD bash -c 'fc-run guest --lock-fd 9 a 9<"$1"' _ "$lock"
  assert_contains "$stderr" "cannot lock 'a'"
  nothing_started
}

@test "fc-run guest: a VMM that does not load, dies or hangs is ended, and nothing is left" {
  local FAKE_FAIL
  export FAKE_FAIL
  for FAKE_FAIL in load die-load hang-load die-start; do
    run -125 --separate-stderr run_guest "$lock" --load-timeout 0.3 a
    [[ $FAKE_FAIL == die-start ]] || assert_contains "$stderr" "cannot run 'a': its VMM did not load it: "
    nothing_started
    [[ ! -e $SNAPFORK_ROOT/guests/a/vsock.sock ]]
    assert_equal "$(snapshot-meta state a)" Standby
  done
  FAKE_FAIL=clock run -0 --separate-stderr run_guest "$lock" --detach a
  assert_contains "$stderr" "warning: 'a' continues with the clock of its snapshot"
}
