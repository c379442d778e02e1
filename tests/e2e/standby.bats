#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork standby of guests whose VMM is fake-firecracker, a test double. tests/firecracker/standby.bats has real ones.
# shellcheck disable=SC2154,SC2030,SC2031 # variables of the helpers, and of one test

load helpers
load ../fake_firecracker
load ../standby_guest

setup() {
  common_setup
  mount_fs "${FS:-xfs}" "$BATS_TEST_TMPDIR/fs" 400
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/store SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
  mkdir "$SNAPFORK_ROOT"
}

teardown() {
  fake_kill_all
  drop_store
}

latest() { # <id>
  printf '%s\n' "$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest"
}

vmm_state() { # <id>
  fake_api "$1" GET / | jq -r .state
}

# The guest runs on with its old snapshot, and nothing is left.
runs_on() { # <id>
  [[ $(vmm_state "$1") == Running && $(snapshot-meta state "$1") == Running ]] || fail "$(vmm_state "$1")" || return
  cmp "$BATS_TEST_TMPDIR/$1/memory" "$(latest "$1")/memory" || return
  [[ -z $(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1) ]] || fail leftovers
}

make_template() {
  make_guest base
  snapfork -q promote base
}

@test "standby writes a Full snapshot, ends the VMM, and the guest can run again and be in standby again" {
  make_guest g
  run_guest g
  run -0 --separate-stderr snapfork --json standby g
  [[ $output == '{"type":"standby","v":1,"id":"g"}' && $stderr == *"'g' is in standby; it was paused for "* ]]
  fake_wait g
  ((ended == 143))
  [[ $(snapshot-meta state g) == Standby ]]
  guest_worked g
  [[ $(snapshot-meta get g snapfork.vmm.version) == 1.16.1 ]]
  cp "$(latest g)/memory" "$BATS_TEST_TMPDIR/first"
  run_guest g
  snapfork -q standby g
  guest_worked g "$BATS_TEST_TMPDIR/first"
  assert_nothing_but_guests
}

assert_nothing_but_guests() {
  snapshot-meta fsck
  [[ -z $(find "$SNAPFORK_ROOT/.snapfork/tmp" "$SNAPFORK_ROOT/.snapfork/trash" -mindepth 1) ]]
}

@test "standby of a fork that the page server serves completes its session first, and leaves the template as it was" {
  make_template
  snapfork -q fork --backend uffd base f >/dev/null
  local digest session
  digest=$(sha256sum <"$(latest base)/memory")
  session=$(snapshot-meta session-name f)
  run_guest f "$BATS_TEST_TMPDIR/run/s/$session.sock"
  snapshot-meta set f FirecrackerUseUFFDOnNextRestore:=true
  run -0 --separate-stderr snapfork -v standby f
  [[ $stderr == *"complete $session"*'PATCH /vm '*'Paused'*'standby-publish'* ]]
  guest_worked f
  [[ $(sha256sum <"$(latest base)/memory") == "$digest" && $(stat --format=%h "$(latest base)/memory") == 1 ]]
  [[ $(snapshot-meta get f FirecrackerUseUFFDOnNextRestore) == false ]]
  run -1 uffd-ctl session "$session"
  snapshot-meta verify --deep base
  assert_nothing_but_guests
}

@test "standby refuses a guest that hangs because its page server was killed" {
  export SNAPFORK_KEEPER=0 # by design
  make_template
  snapfork -q fork --backend uffd base f >/dev/null
  run_guest f "$BATS_TEST_TMPDIR/run/s/$(snapshot-meta session-name f).sock"
  kill -KILL "$(pager_pids)"
  wait_until 20 no_pager
  run -1 --separate-stderr snapfork standby f
  [[ $stderr == *"cannot write a snapshot of 'f': it hangs, because its page server was killed"* ]]
  [[ $(vmm_state f) == Running ]]
}

@test "standby writes a Diff over a clone of the base, if the guest was loaded with dirty-page tracking" {
  make_guest g
  run_guest g '' '{"track_dirty_pages":true}'
  run -0 --separate-stderr snapfork -v standby --type diff g
  [[ $stderr == *'"snapshot_type":"Diff"'* || $stderr == *'snapshot_type\":\"Diff'* || $stderr == *'Diff'* ]]
  guest_worked g
  run_guest g
  run -1 --separate-stderr snapfork standby --type diff g
  [[ $stderr == *"cannot write a Diff of 'g': it was not loaded with dirty-page tracking"* && $(vmm_state g) == Running ]]
}

@test "standby refuses a Diff of a fork that has the memory of its template" {
  make_template
  snapfork -q fork --backend file base f >/dev/null
  run_guest f '' '{"track_dirty_pages":true}'
  run -1 --separate-stderr snapfork standby --type diff f
  [[ $stderr == *'its memory file is that of a template'*'write a Full one'* && $(vmm_state f) == Running ]]
}

@test "a snapshot that fails resumes the guest, and the next standby succeeds" {
  local fault
  for fault in create late-create pause; do
    make_guest "$fault"
    FAKE_FAIL=$fault run_guest "$fault"
    run -1 --separate-stderr snapfork standby "$fault"
    [[ $stderr == *'FAKE_FAIL'* || $stderr == *'No space left on device'* ]]
    [[ $stderr == *"snapfork: '$fault' is resumed"* ]]
    runs_on "$fault"
  done
  # Firecracker has forgotten which pages changed.
  make_guest g
  FAKE_FAIL=late-create run_guest g '' '{"track_dirty_pages":true}'
  run -1 snapfork standby --type diff g
  run -1 --separate-stderr snapfork standby --type diff g
  [[ $stderr == *'its VMM may have written one that was not published'* ]]
  runs_on g
}

@test "a standby that fails reports what a pause does to vsock, for releases and guests that it concerns" {
  local version id
  for version in 1.16.1 1.17.0; do
    id=g${version//./-}
    make_guest "$id" 4 vsock="$BATS_TEST_TMPDIR/$id.sock"
    [[ $version == 1.16.1 ]] || "$HELPERS/write-vmstate" "$(latest "$id")/state" 12.0.0 4 vsock="$BATS_TEST_TMPDIR/$id.sock"
    FAKE_VERSION=$version FAKE_FAIL=create run_guest "$id"
    run -1 --separate-stderr snapfork standby "$id"
    if [[ $version == 1.16.1 ]]; then
      [[ $stderr == *"connections from the host to the vsock of 'g1-16-1' no longer work: Firecracker 1.16.1 "*'issue 6100'* ]]
    else
      [[ $stderr != *vsock* ]]
    fi
  done
}

@test "a VMM that dies during the snapshot leaves the old snapshot" {
  make_guest g
  FAKE_FAIL=die-create run_guest g
  run ! snapfork standby g
  [[ $output == *"'g' may be paused: its VMM does not resume it"* ]]
  fake_wait g
  cmp "$BATS_TEST_TMPDIR/g/memory" "$(latest g)/memory"
  [[ $(snapshot-meta state g) == Stale ]] # it wrote to its disk
  assert_nothing_but_guests
}

paused_in_store() {
  [[ -s $SNAPFORK_ROOT/.snapfork/tmp/standby.g/state ]]
}

# Starts a standby in the background and sends SIGTERM to it while Firecracker writes; its pid is in $driver.
end_standby_by_sigterm() {
  command snapfork standby g 3>&- 4>&- 2>"$BATS_TEST_TMPDIR/said" &
  driver=$!
  wait_until 20 paused_in_store
  kill -TERM "$driver"
}

ended_by_sigterm() {
  local status=0
  wait "$driver" || status=$?
  ((status == 143)) || fail "status $status"
  grep -q "cannot finish 'standby': ended by SIGTERM; what it did is undone" "$BATS_TEST_TMPDIR/said"
}

@test "SIGTERM while Firecracker writes the snapshot resumes the guest" {
  make_guest g
  mkfifo "$BATS_TEST_TMPDIR/gate"
  FAKE_FAIL=gate-create FAKE_GATE=$BATS_TEST_TMPDIR/gate run_guest g
  end_standby_by_sigterm
  : >"$BATS_TEST_TMPDIR/gate"
  ended_by_sigterm
  runs_on g
}

@test "SIGTERM to a standby whose VMM dies leaves the old snapshot, and reports that the guest was not resumed" {
  make_guest g
  FAKE_FAIL=hang-create run_guest g
  end_standby_by_sigterm
  kill -KILL "${fake_pid[g]}"
  ended_by_sigterm
  grep -q "'g' may be paused" "$BATS_TEST_TMPDIR/said"
  [[ -z $(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1) ]]
  cmp "$BATS_TEST_TMPDIR/g/memory" "$(latest g)/memory"
}

@test "a second standby of a guest is refused while the first runs" {
  make_guest g
  mkfifo "$BATS_TEST_TMPDIR/gate"
  FAKE_FAIL=gate-create FAKE_GATE=$BATS_TEST_TMPDIR/gate run_guest g
  command snapfork -q standby g 3>&- 4>&- &
  driver=$!
  wait_until 20 paused_in_store
  run -1 --separate-stderr snapfork standby --timeout 0.1 g
  [[ $stderr == *"cannot lock 'g'"* ]] || fail "$stderr"
  : >"$BATS_TEST_TMPDIR/gate"
  wait "$driver"
  guest_worked g
}

@test "a guest that was paused before a standby that fails stays paused" {
  make_guest g
  FAKE_FAIL=create run_guest g
  fake_api g PATCH /vm '{"state":"Paused"}'
  run -1 snapfork standby g
  [[ $(vmm_state g) == Paused ]]
}

@test "standby refuses a guest that does not run, a template, and an unknown API socket" {
  make_template
  run -1 --separate-stderr snapfork standby base
  [[ $stderr == *"its state is Template, not Running"* ]]
  make_guest g
  run -1 --separate-stderr snapfork standby g
  [[ $stderr == *"its state is Standby, not Running"* ]]
  run -1 --separate-stderr snapfork standby absent
  [[ $stderr == *'no such guest'* ]]
  run_guest g
  snapshot-meta set g SocketPath=/absent
  run -1 --separate-stderr snapfork standby g
  [[ $stderr == *"the API socket of its VMM is not known; give --socket SOCK"* ]]
  snapfork -q standby --socket "$(fake_dir g)/api.sock" g
  [[ $(snapshot-meta state g) == Standby ]]
}

@test "standby --socket ends a VMM that another program started and did not record" {
  make_guest g
  FAKE_WORK=$WORK_PAGES fake_start g
  fake_api g PUT /snapshot/load "$(fake_load_body "$(latest g)/state" "$(latest g)/memory")"
  # Only the disk shows that it runs. No program ends such a process, and the message does not advise it.
  run -1 --separate-stderr snapfork delete g
  [[ $stderr == *'has '*'disk.raw'"' open for writing; end that process first" ]]
  run -1 --separate-stderr snapfork delete --stop g
  [[ $stderr == *'it is not certain that this process is the VMM; end it yourself'* ]]
  run -1 --separate-stderr snapfork standby g
  [[ $stderr == *'give --socket SOCK'* ]]
  cd "$(fake_dir g)"
  run -0 --separate-stderr snapfork standby --socket api.sock g
  fake_wait g
  [[ $(snapshot-meta state -q g) == Standby ]]
  guest_worked g
}

@test "standby refuses the API socket of another guest" {
  make_guest g
  make_guest other
  run_guest g
  run_guest other
  run -1 --separate-stderr snapfork standby --socket "$(fake_dir other)/api.sock" g
  [[ $stderr == *"cannot use the API socket '"*"/other/api.sock' for 'g': process "*' listens there, and it is not known to be its VMM'* ]]
  [[ $(vmm_state g) == Running && $(vmm_state other) == Running ]]
  # Also if the metadata are wrong: the snapshot has the drive of the other guest.
  snapshot-meta set g "SocketPath=$(fake_dir other)/api.sock"
  run -4 --separate-stderr snapfork standby g
  [[ $stderr == *"its VMM uses the drive '$SNAPFORK_ROOT/guests/other/disk.raw', which the guest does not have"* ]]
  cmp "$BATS_TEST_TMPDIR/g/memory" "$(latest g)/memory"
}

@test "standby --sync=no lets a release that knows it skip the flush, and flushes nothing itself" {
  make_guest g
  "$HELPERS/write-vmstate" "$(latest g)/state" 12.0.0 4 drive="$SNAPFORK_ROOT/guests/g/disk.raw"
  FAKE_VERSION=1.17.0 run_guest g
  run -0 --separate-stderr snapfork -v standby --sync=no g
  [[ $stderr == *'sync_snapshot_files'*'--no-flush'* ]]
  make_guest h
  run_guest h
  run -0 --separate-stderr snapfork -v standby --sync=no h
  [[ $stderr != *sync_snapshot_files* ]]
}

@test "standby --dry-run prints the plan, and changes nothing" {
  make_guest g
  run_guest g
  local before
  before=$(store_listing)
  run -0 --separate-stderr snapfork standby --dry-run g
  [[ $output == *'snapshot-meta standby-begin'*'PATCH /vm'*'PUT /snapshot/create'*'standby-publish'*'snapshot-meta stop g'* ]]
  [[ $(store_listing) == "$before" && $(vmm_state g) == Running ]]
  bash <<<"${output//+ /}"
  [[ $(snapshot-meta state g) == Standby ]]
  guest_worked g
}
