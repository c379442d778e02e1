#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork fork --from-running, with fake-firecracker, a test double.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # variables of the helpers, and of one test; a script

load helpers
load ../fake_firecracker
load ../standby_guest

setup() {
  make_store xfs
  make_guest g
}

teardown() {
  command snapfork -q stop g >/dev/null 2>&1 || true
  fake_kill_all
  drop_store
}

start_source() { # [option of restore]...
  FAKE_WORK=$WORK_PAGES snapfork -q restore --firecracker "$HELPERS/fake-firecracker" --firecracker-arg --no-seccomp "$@" g >"$BATS_TEST_TMPDIR/run.json"
  api=$(jq -r .api_socket "$BATS_TEST_TMPDIR/run.json")
}

vmm_of_g() { # <jq expression>
  fc-api "$api" GET / | jq -r "$1"
}

@test "fork --from-running forks a guest that runs, and restores it with the program and the arguments it had" {
  start_source --track-dirty-pages
  local before
  before=$(jq .pid "$BATS_TEST_TMPDIR/run.json")
  run -0 --separate-stderr snapfork --json fork --from-running --backend file -n 2 g
  ((${#lines[@]} == 3))
  [[ $(jq -r .type <<<"$output") == $'fork\nfork\noutage' ]]
  [[ $(jq -r 'select(.type == "outage") | .source' <<<"$output") == g ]]
  [[ $stderr == *"'g' runs again; it was paused for "* ]]
  [[ $(vmm_of_g .state) == Running && $(snapshot-meta state -q g) == Running ]]
  local pid fork
  pid=$(snapshot-meta get g HypervisorPID)
  [[ $pid != "$before" && $(tr '\0' ' ' <"/proc/$pid/cmdline") == *' --no-seccomp'* ]]
  [[ $(fc-api "$api" GET /machine-config | jq .track_dirty_pages) == true ]]
  guest_worked g
  for fork in $(jq -r 'select(.type == "fork") | .id' <<<"$output"); do
    cmp "$SNAPFORK_ROOT/guests/$fork/snapshots/snapshot-latest/memory" "$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/memory"
    [[ $(snapshot-meta state -q "$fork") == Standby ]]
  done
}

@test "fork --from-running restores its source with the options and the MMDS that it had" {
  make_guest t 1 tap=tap-of-t
  local said=$BATS_TEST_TMPDIR/said
  printf '{"latest":{"token":"x"}}' >"$BATS_TEST_TMPDIR/mmds.json"
  cat >"$BATS_TEST_TMPDIR/in-namespace" <<SH
set -e
ip tuntap add mine mode tap || exit 77
snapfork -q restore --firecracker "$HELPERS/fake-firecracker" --tap id3=mine --clock keep --load-timeout 7 \
  --mmds "$BATS_TEST_TMPDIR/mmds.json" --after-load 'echo "loaded \$SNAPFORK_FORK" >>"$said"' --on-ready 'echo ready
' t >"$BATS_TEST_TMPDIR/run.json"
rm "$BATS_TEST_TMPDIR/mmds.json"
snapfork --dry-run fork --from-running --backend file t h >"$BATS_TEST_TMPDIR/plan"
snapfork -q -v fork --from-running --backend file t h 2>"$BATS_TEST_TMPDIR/steps" >/dev/null
fc-api "\$(snapshot-meta get t snapfork.api_socket)" GET /mmds >"$BATS_TEST_TMPDIR/mmds"
snapfork -q stop t
SH
  require_namespaces --net
  run unshare --net bash "$BATS_TEST_TMPDIR/in-namespace" 3>&- 4>&-
  ((status != 77)) || skip 'needs taps'
  ((!status)) || fail "$output"
  [[ $(<"$said") == $'loaded t\nloaded t' ]]
  [[ $(<"$BATS_TEST_TMPDIR/mmds") == '{"latest":{"token":"x"}}' ]]
  local steps
  for steps in steps plan; do
    grep -q -- ' restore --tap id3=mine --clock keep --after-load .* --on-ready .* --load-timeout 7 --firecracker ' "$BATS_TEST_TMPDIR/$steps"
    ! grep -q token "$BATS_TEST_TMPDIR/$steps"
  done
}

@test "fork --from-running restores its source if the fork fails" {
  start_source
  run -1 --separate-stderr snapfork fork --from-running --backend file g g
  [[ $(vmm_of_g .state) == Running ]]
  PATH=$BATS_TEST_TMPDIR/bin:$PATH
  mkdir "$BATS_TEST_TMPDIR/bin"
  printf '#!/bin/sh\n[ "$1" != fork-publish ] || exit 5\nexec %s "$@"\n' "$(type -P snapshot-meta)" >"$BATS_TEST_TMPDIR/bin/snapshot-meta"
  chmod +x "$BATS_TEST_TMPDIR/bin/snapshot-meta"
  run -5 --separate-stderr "$(type -P snapfork)" fork --from-running --backend file g h
  [[ $(vmm_of_g .state) == Running && ! -e $SNAPFORK_ROOT/guests/h ]]
  guest_worked g
}

@test "fork --from-running whose source cannot be restored leaves it in standby, with its forks" {
  start_source
  run ! --separate-stderr snapfork fork --from-running --firecracker /bin/false --backend file g h
  [[ $stderr == *"'g' is in standby, and cannot be restored; try 'snapfork restore g'"* ]]
  [[ $(snapshot-meta state -q g) == Standby && $(snapshot-meta state -q h) == Standby ]]
  start_source
  [[ $(vmm_of_g .state) == Running ]]
}

@test "fork --from-running refuses a source that does not run, and options that make no sense" {
  run -1 --separate-stderr snapfork fork --from-running g h
  [[ $stderr == *"its state is Standby, not Running"* && ! -e $SNAPFORK_ROOT/guests/h ]]
  run -2 snapfork fork --from-running --share-memory g h
  run -2 snapfork fork --netns x g h
}

@test "fork --from-running --dry-run changes nothing" {
  start_source
  run -0 --separate-stderr snapfork fork --from-running --dry-run --tap eth0=tap-h --backend file g h
  [[ $output == *standby-publish*' fork '*'--tap eth0=tap-h'*' restore '* ]]
  [[ $(vmm_of_g .state) == Running && ! -e $SNAPFORK_ROOT/guests/h ]]
}

stopped_at_gate() {
  [[ -s $SNAPFORK_ROOT/.snapfork/tmp/standby.g/state ]]
}

@test "SIGTERM to fork --from-running during the snapshot: the source runs on, and no fork exists" {
  mkfifo "$BATS_TEST_TMPDIR/gate"
  export FAKE_FAIL=gate-create FAKE_GATE=$BATS_TEST_TMPDIR/gate
  start_source
  command snapfork -q fork --from-running --backend file g h >/dev/null 3>&- 4>&- 2>"$BATS_TEST_TMPDIR/said" &
  local driver=$! status=0
  wait_until 20 stopped_at_gate
  kill -TERM "$driver"
  : >"$BATS_TEST_TMPDIR/gate"
  wait "$driver" || status=$?
  ((status == 143))
  [[ $(vmm_of_g .state) == Running && ! -e $SNAPFORK_ROOT/guests/h ]]
  cmp "$BATS_TEST_TMPDIR/g/memory" "$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/memory"
}

@test "SIGTERM to fork --from-running while it forks: the source is restored, and no fork exists" {
  start_source
  mkdir "$BATS_TEST_TMPDIR/bin"
  mkfifo "$BATS_TEST_TMPDIR/forking"
  printf '#!/bin/sh\n[ "$1" != fork-publish ] || { echo >%s; exec sleep infinity; }\nexec %s "$@"\n' \
    "$BATS_TEST_TMPDIR/forking" "$(type -P snapshot-meta)" >"$BATS_TEST_TMPDIR/bin/snapshot-meta"
  chmod +x "$BATS_TEST_TMPDIR/bin/snapshot-meta"
  local program driver status=0
  program=$(type -P snapfork)
  PATH=$BATS_TEST_TMPDIR/bin:$PATH "$program" -q fork --from-running --backend file g h >/dev/null 3>&- 4>&- 2>"$BATS_TEST_TMPDIR/said" &
  driver=$!
  read -r _ <"$BATS_TEST_TMPDIR/forking"
  kill -TERM "$driver"
  wait "$driver" || status=$?
  ((status == 143))
  [[ $(vmm_of_g .state) == Running && ! -e $SNAPFORK_ROOT/guests/h ]]
  [[ -z $(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1) ]]
  guest_worked g
}
