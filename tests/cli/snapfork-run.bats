#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork run, restore and stop with fake-firecracker, a test double: options, bad input, and kills at every step.
# tests/firecracker/run.bats has the same with a real Firecracker.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load ../run_steps

setup() {
  common_setup
  require_root
  fake=$HELPERS/fake-firecracker
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock FAKE_OPENED=$BATS_TEST_TMPDIR/opened
}

teardown() {
  local pid
  for pid in $(processes); do kill -KILL "$pid" 2>/dev/null || true; done
  [[ ! -v netns ]] || ip netns delete "$netns"
  common_teardown
}

# Page servers, VMMs and drivers of this test.
processes() {
  pgrep -f -- "$BATS_TEST_TMPDIR/(run|root|bin)/" | grep -vx "$$" || true
}

snapfork() { # without the descriptors of bats
  command snapfork -q "$@" 3>&- 4>&-
}

# Makes a template `base` with a memory of 4 MiB.
make_template() { # [device of write-vmstate]...
  "$HELPERS/write-vmstate" state 10.0.0 4 "$@"
  head -c 4M /dev/urandom >memory
  snapfork import base --state state --memory memory
  snapfork promote base
}

make_fork() { # <id> [option of fork]...
  snapfork fork --backend file "${@:2}" base "$1" >/dev/null 2>&1
}

run_fork() { # <id> [option]...
  snapfork run --detach --firecracker "$fake" "${@:2}" "$1"
}

no_vmm() {
  ! pgrep -f -- "--api-sock $BATS_TEST_TMPDIR/|fc-run .*--dir $BATS_TEST_TMPDIR/" >/dev/null
}

# The fork is as before the run: no VMM, session, socket or directory.
assert_clean() { # <id>
  wait_until 20 no_vmm
  assert_equal "$(snapshot-meta state "$1")" Standby
  [[ ! -e $(vm_dir "$1") ]] || fail "left: $(find "$(vm_dir "$1")")"
  assert_equal "$(find "$BATS_TEST_TMPDIR/run/s" -name "$1@*" 2>/dev/null)" ''
}

@test "run prints one record, and the guest is Running until stop" {
  make_template
  make_fork a
  run -0 --separate-stderr run_fork a
  assert_equal "$(json 'del(.pid, .seconds)' | jq -c .)" \
    "{\"type\":\"run\",\"v\":1,\"id\":\"a\",\"api_socket\":\"$(vm_dir a)/api.sock\",\"vsock_path\":null,\"console\":\"$(vm_dir a)/console\",\"version\":\"1.16.1\",\"firecracker_id\":\"a\",\"backend\":\"file\"}"
  assert_equal "$(fc-api "$(vm_dir a)/api.sock" GET / | jq -r .state)" Running
  assert_equal "$(snapshot-meta state a 2>/dev/null)" Running
  run -1 --separate-stderr run_fork a
  assert_contains "$stderr" 'it is already Running'
  run -1 --separate-stderr snapfork delete a
  run -0 snapfork stop a
  assert_clean a
}

@test "run --dry-run prints a script that does the same" {
  make_template
  make_fork a
  run -0 --separate-stderr snapfork run --dry-run --firecracker "$fake" --after-load 'echo paused' --on-ready 'echo ready' a
  [[ ! -e run/vm && $(snapshot-meta state a) == Standby ]]
  printf '%s\n' "${lines[@]#+ }" >plan
  run -0 bash plan 3>&- 4>&-
  assert_contains "$output" $'paused\nready'
  assert_equal "$(snapshot-meta state a 2>/dev/null)" Running
  assert_equal "$(fc-api "$(vm_dir a)/api.sock" GET / | jq -r .state)" Running
  snapfork stop a
  run -0 --separate-stderr snapfork run --dry-run --json --firecracker "$fake" a
  jq -e '.type == "plan"' <<<"$output"
  run -127 snapfork run --dry-run --firecracker "$PWD/absent" a
}

@test "run refuses options that exclude each other, and those that CMD cannot have" {
  make_template
  make_fork a
  run -2 snapfork run --socket x --prepare a
  run -2 snapfork run --socket x --netns n a
  run -2 snapfork run --detach a -- true
  assert_contains "$output" 'the option --detach is not for run with CMD'
  run -2 snapfork run --json a -- true
  run -2 snapfork run --clock never a
  run -2 snapfork run --load-timeout soon a
  run -2 snapfork run --tap eth0 a
  run -2 snapfork run a --
  run -2 snapfork run -- a
  run -2 snapfork run --firecracker "$fake"
}

@test "run refuses a Firecracker that is missing, not executable, or not one" {
  make_template
  make_fork a
  run -127 --separate-stderr run_fork a --firecracker "$PWD/absent"
  assert_contains "$stderr" "cannot run '$PWD/absent'"
  run -126 run_fork a --firecracker "$PWD/state"
  run -125 --separate-stderr run_fork a --firecracker /bin/false
  assert_contains "$stderr" "cannot start '/bin/false': it ended with exit status 1"
  FAKE_FAIL=die-start run -125 --separate-stderr run_fork a
  assert_contains "$stderr" 'it was killed by signal 9'
  run -125 --separate-stderr run_fork a --firecracker-arg --nonsense
  assert_contains "$stderr" "Found argument 'nonsense'"
  assert_clean a
}

@test "run refuses a Firecracker that is too old or too new for the state, before it loads" {
  make_template
  make_fork a
  local version
  for version in 1.15.1 1.17.0; do
    FAKE_VERSION=$version run -1 --separate-stderr run_fork a
    assert_contains "$stderr" "Firecracker $version loads"
    assert_clean a
  done
  [[ ! -s opened ]]
  FAKE_VERSION=1.18.0 run -1 --separate-stderr run_fork a
  assert_contains "$stderr" 'Firecracker 1.18.0, which is newer than all releases that are known here, loads snapshot version 12.0.0 or later'
  assert_clean a
  FAKE_VERSION=1.8.0 run -1 --separate-stderr run_fork a
  assert_contains "$stderr" 'Firecracker 1.8.0 loads older snapshot versions'
  assert_clean a
}

@test "a Firecracker that is newer than all known releases runs, and writes, the newest snapshot version" {
  "$HELPERS/write-vmstate" state 12.0.0 4
  head -c 4M /dev/urandom >memory
  snapfork import a --state state --memory memory
  export FAKE_VERSION=1.18.0
  run -0 --separate-stderr run_fork a --track-dirty-pages
  assert_equal "$(json .version)" 1.18.0
  snapfork standby --sync no a
  run -0 snapshot-meta get a snapfork.vmm.version
  assert_equal "$output" 1.18.0
  run -0 --separate-stderr snapshot-meta load-request --backend file a
  assert_equal "$(json .clock_realtime)" true # as for the newest known release
  run_fork a
  snapfork stop a
  assert_clean a
}

@test "run shows why Firecracker refused a load, and leaves nothing" {
  make_template
  make_fork a
  FAKE_FAIL=load run -125 --separate-stderr run_fork a
  assert_contains "$stderr" "cannot run 'a': its VMM did not load it: "
  assert_contains "$stderr" '400: Load snapshot error: Failed to restore from snapshot: FAKE_FAIL'
  assert_clean a
  FAKE_FAIL=die-load run -125 --separate-stderr run_fork a
  assert_contains "$stderr" '; the last lines of its console: Running Firecracker v1.16.1'
  assert_clean a
  FAKE_FAIL=hang-load run -125 --separate-stderr run_fork a --load-timeout 0.3
  assert_contains "$stderr" 'timed out'
  assert_clean a
  FAKE_FAIL=hang-load,ignore-term run -125 --separate-stderr run_fork a --load-timeout 0.3
  assert_clean a
  FAKE_FAIL=resume run -125 run_fork a --after-load true
  assert_clean a
  FAKE_FAIL=load run -125 --separate-stderr snapfork --json run --detach --firecracker "$fake" a
  jq -e '.type == "error" and .exit_code == 125' <<<"$output"
}

@test "run of a fork that a page server without a keeper serves" {
  require_userfaultfd
  export SNAPFORK_KEEPER=0
  make_template
  snapfork fork --backend uffd base a >/dev/null
  FAKE_VERIFY=$PWD/memory run -0 --separate-stderr run_fork a
  assert_equal "$(json .backend)" uffd
  run -0 snapfork stop a
  run -0 snapfork delete a
}

@test "a program of the suite that reads the memory of a fork does not make it Running" {
  make_template
  make_fork a
  local memory=$SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/memory
  printf 'HPL1\2\0\0\0\x80\x20' >list # pages 0 and 1
  spawn hotpage-record warm --mem "$memory" --lock 600 list
  has_memory() { [[ -n $(find "/proc/$spawned_pid/fd" "/proc/$spawned_pid/map_files" -lname "$memory" 2>/dev/null) ]]; }
  wait_until 10 has_memory
  assert_equal "$(snapshot-meta state a)" Standby
}

@test "run with the page server: the guest reads its memory, and a failure closes the session" {
  require_userfaultfd
  make_template
  snapfork fork --backend uffd base a >/dev/null
  FAKE_VERIFY=$PWD/memory run -0 --separate-stderr run_fork a
  assert_equal "$(json .backend)" uffd
  assert_equal "$(uffd-ctl session "$(snapshot-meta session-name a)" | jq -r .vmm_pid)" "$(json .pid)"
  snapfork stop a
  run -0 --separate-stderr run_fork a
  assert_equal "$(json .backend)" file
  snapfork stop a
  for FAKE_FAIL in load hang-load die-load; do
    export FAKE_FAIL
    run -125 run_fork a --backend uffd --load-timeout 0.3
    assert_clean a
  done
  run -125 run_fork a --backend uffd --after-load false
}

@test "run of a guest with memory in 2 MiB pages uses the page server each time" {
  require_userfaultfd
  make_template
  make_fork a
  mkdir bin # a guest with such memory needs a pool of huge pages
  cat >bin/fc-run <<SH
#!/bin/bash
set -o pipefail
[[ \$1 == guest ]] || exec '$(type -P fc-run)' "\$@"
template-lock --exclusive --no-wait --fd "\$4" "\$2"
SNAPFORK_LOCK_FD=\$4 snapshot-meta run-prepare "\$2" | sed 's/^backend\tfile\t.*/backend\tuffd\tits memory has 2 MiB pages/'
SH
  chmod +x bin/fc-run
  local _
  for _ in 1 2; do
    FAKE_VERIFY=$PWD/memory PATH=$PWD/bin:$PATH run -0 --separate-stderr run_fork a
    assert_equal "$(json .backend)" uffd
    snapfork stop a
  done
}

@test "run starts a second VMM if the clock of the state cannot be set forward" {
  make_template
  make_fork a
  FAKE_FAIL=clock run -0 --separate-stderr run_fork a
  assert_contains "$stderr" "warning: 'a' continues with the clock of its snapshot"
  assert_equal "$(snapshot-meta state a 2>/dev/null)" Running
  assert_equal "$(json .pid)" "$(cut -d ' ' -f 1 "$(vm_dir a)/pid")"
  snapfork stop a
  FAKE_FAIL=clock run -0 --separate-stderr run_fork a --clock keep
  assert_equal "$stderr" ''
  snapfork stop a
  assert_clean a
  snapfork fork --backend uffd base b >/dev/null
  FAKE_FAIL=clock FAKE_VERIFY=$PWD/memory run -0 --separate-stderr run_fork b
  assert_equal "$(json .backend)" uffd
  snapfork stop b
}

@test "run --mmds fills MMDS before the guest runs" {
  make_template
  make_fork a
  printf '{"latest":{"token":"x"}}' >mmds.json
  # shellcheck disable=SC2016 # for the command
  run -0 run_fork a --mmds mmds.json --after-load 'fc-api "$SNAPFORK_API_SOCKET" GET /mmds >mmds.read'
  assert_equal "$(<mmds.read)" "$(<mmds.json)"
  snapfork stop a
  FAKE_FAIL=mmds run -125 run_fork a --mmds mmds.json
  assert_clean a
  run -125 --separate-stderr run_fork a --mmds absent
  assert_contains "$stderr" "cannot read 'absent'"
}

@test "run checks the taps of the guest in its network namespace before it starts anything" {
  require_namespaces --net
  make_template tap=tap-of-base
  make_fork a
  run -1 --separate-stderr run_fork a
  assert_contains "$stderr" "cannot use the tap 'tap-of-base': it does not exist"
  run -1 --separate-stderr run_fork a --netns snapfork-absent
  assert_contains "$stderr" "cannot use the network namespace 'snapfork-absent'"
  run -1 --separate-stderr run_fork a --tap eth9=tap0
  assert_contains "$stderr" "it has no network interface 'eth9'"
  run -2 run_fork a --tap id1=a-name-that-is-too-long
  [[ ! -e run/vm ]]
  cat >in-namespace <<'SH'
    ip tuntap add t0 mode tap || exit 77
    snapfork -q run --detach --firecracker "$1" --tap id1=t0 a >record || exit 1
    snapfork -q stop a
SH
  run -0 unshare --net bash in-namespace "$fake" 3>&- 4>&-
  assert_equal "$(jq -r .type record)" run
}

@test "fork --tap gives each fork its own tap, which its record and run use" {
  make_template tap=tap-of-base
  snapfork fork -n 2 --backend file --tap 'id1=t{n}' base >forks 2>/dev/null
  assert_equal "$(jq -c .snapshot_load.network_overrides forks)" \
    $'[{"iface_id":"id1","host_dev_name":"t0"}]\n[{"iface_id":"id1","host_dev_name":"t1"}]'
  assert_equal "$(snapshot-meta taps "$(jq -r .id forks | sed -n 2p)")" $'id1\tt1'
  assert_equal "$(snapshot-meta taps --tap id1=other "$(jq -r .id forks | sed -n 2p)")" $'id1\tother'
  run -2 snapfork fork --tap 'id1=tap-{id}-is-too-long' base x
  run -1 snapfork fork --tap 'eth0=t0' base x
  run -2 snapfork fork --tap 'id1' base x
  run -2 --separate-stderr snapfork fork -n 2 --tap 'id1=t' base
  assert_contains "$stderr" 'several forks cannot use one tap'
  [[ ! -e $SNAPFORK_ROOT/guests/x ]]
}

@test "run with CMD: --tap, --clock and --track-dirty-pages are in SNAPFORK_LOAD" {
  make_template tap=tap-of-base
  make_fork a --tap id1=recorded
  snapshot-meta set a 'snapfork.vmm:={"version":"1.16.1","from":"import"}'
  load_of() { snapfork run "$@" a -- printenv SNAPFORK_LOAD; }
  assert_equal "$(load_of | jq -c '[.network_overrides[0].host_dev_name, .clock_realtime, .track_dirty_pages]')" '["recorded",true,null]'
  assert_equal "$(load_of --tap id1=mine --clock keep --track-dirty-pages \
    | jq -c '[.network_overrides, .clock_realtime, .track_dirty_pages]')" '[[{"iface_id":"id1","host_dev_name":"mine"}],null,true]'
  run -1 --separate-stderr load_of --tap eth9=t
  assert_contains "$stderr" "it has no network interface 'eth9'"
  run -2 load_of --tap id1=a-name-that-is-too-long
  run -1 snapfork run --dry-run --tap eth9=t a -- true
  assert_equal "$(snapshot-meta state a)" Standby
  # A release before 1.12 takes the tap from the state.
  "$HELPERS/write-vmstate" "$SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/state" 5.0.0 4 tap=tap-of-base
  snapshot-meta unset a snapfork.vmm
  assert_equal "$(load_of --tap id1=mine | jq .network_overrides)" null
  assert_equal "$(snapshot-meta vmstate --json "$SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/state" | jq -r '.taps[0].name')" mine
}

@test "run uses a hash for an id that Firecracker refuses" {
  make_template
  make_fork web_1.x
  run -0 --separate-stderr run_fork web_1.x
  [[ $(json .firecracker_id) =~ ^snapfork-[0-9a-f]{16}$ ]]
  snapfork stop web_1.x
}

@test "run refuses an API socket path that is too long, and names its length" {
  make_template
  make_fork a
  SNAPFORK_PAGER=$PWD/$(printf 'x%.0s' {1..80})/p.sock
  run -2 --separate-stderr run_fork a
  assert_contains "$stderr" 'not 1 to 107'
}

@test "stop ends a VMM that ignores SIGTERM, and --graceful presses Ctrl-Alt-Del first" {
  make_template
  make_fork a
  FAKE_FAIL=ignore-term run_fork a
  run -0 snapfork stop --timeout 0.2 a
  assert_clean a
  FAKE_FAIL=ignore-term run_fork a
  run -0 snapfork stop --graceful 20 a # the double ends by itself
  assert_clean a
  FAKE_FAIL=ignore-ctrl-alt-del run_fork a
  run -0 snapfork stop --graceful 0.2 a
  assert_clean a
  run -0 snapfork stop a
  run -1 snapfork stop nobody
}

@test "stop of several guests ends each, and exits with the status of the first failure" {
  make_template
  local id
  for id in a b; do
    make_fork "$id"
    FAKE_FAIL=ignore-term run_fork "$id"
  done
  run -0 --separate-stderr snapfork --json stop --timeout 0.1 a b
  assert_equal "$(jq -c . <<<"$output")" $'{"type":"stop","v":1,"id":"a"}\n{"type":"stop","v":1,"id":"b"}'
  assert_clean a
  assert_clean b
  run_fork b
  run -1 --separate-stderr snapfork --json stop nobody b
  assert_equal "$(jq -r '.type + " " + (.id // .code)' <<<"$output")" $'error no\nstop b'
  assert_clean b
  run -2 --separate-stderr snapfork stop a a
  assert_contains "$stderr" "stop: the id 'a' is given twice"
  run -0 snapfork stop --dry-run a b
}

@test "restore of a guest that is not a fork runs it; of a template or a running guest it is refused" {
  make_template
  snapfork import plain --state state --memory memory
  snapfork restore --firecracker "$fake" plain
  run -1 snapfork restore --firecracker "$fake" plain
  run -1 snapfork restore --firecracker "$fake" base
  snapfork stop plain
  assert_clean plain
}

@test "the guest is gone when its command is done: run fails, and leaves nothing" {
  make_template
  make_fork a
  run -125 run_fork a --after-load 'snapfork delete --stop a'
  wait_until 20 no_vmm
  assert_equal "$(find run/vm -mindepth 1)" ''
}

@test "a record that cannot be written ends the VMM" {
  make_template
  make_fork a
  # shellcheck disable=SC2016 # for that shell
  run -125 bash -c 'snapfork -q run --detach --firecracker "$0" a >/dev/full' "$fake"
  assert_clean a
}

@test "the VMM opens the fork's own disks and vsock socket, also after a kill that left the socket" {
  make_template_with_devices
  make_fork a
  local own=$SNAPFORK_ROOT/guests/a
  for _ in 1 2; do
    rm -f opened
    # shellcheck disable=SC2016 # for the command
    run -0 --separate-stderr run_fork a --after-load '[[ -S $SNAPFORK_VSOCK ]] && echo "$SNAPFORK_VSOCK" >vsock'
    assert_equal "$(json .vsock_path)" "$own/vsock.sock"
    assert_equal "$(<vsock)" "$own/vsock.sock"
    assert_contains "$(<opened)" "$own/rootfs"
    refute_contains "$(<opened)" /somewhere
    kill -KILL "$(runner_of a)" # which would remove the socket
    wait_until 20 no_vmm
    [[ -S $own/vsock.sock ]]
  done
  snapfork stop a
  assert_clean a
  run -0 cmp rootfs "$own/rootfs"
}

@test "run --netns starts the VMM in the network namespace, with its taps" {
  require_cmd ip
  netns=snapfork-test-$$
  ip netns add "$netns" 2>/dev/null || skip "needs 'ip netns add'"
  ip -n "$netns" tuntap add t0 mode tap || skip 'needs taps'
  make_template tap=t0
  make_fork a
  run -1 --separate-stderr run_fork a
  assert_contains "$stderr" "cannot use the tap 't0': it does not exist"
  run -0 --separate-stderr run_fork a --netns "$netns"
  assert_equal "$(stat -Lc %i "/proc/$(json .pid)/ns/net")" "$(stat -c %i "/run/netns/$netns")"
  snapfork stop a
  assert_clean a
}

# As a program that does not know snapfork.
remove_guest() { # <id>
  rm -r "${SNAPFORK_ROOT:?}/guests/$1" "$SNAPFORK_ROOT/guests/base/template/forks/$1"
}

@test "fsck and the next run remove the files of a VMM whose guest another program removed" {
  make_template
  local dir other
  make_fork a
  run_fork a
  dir=$(vm_dir a)
  assert_equal "$(<"$dir/guest")" "$SNAPFORK_ROOT/guests/a"
  run -0 --separate-stderr snapshot-meta fsck
  remove_guest a
  run -1 --separate-stderr snapshot-meta fsck --repair
  assert_contains "$output" "left: $dir: files of a VMM whose guest no longer exists: the VMM runs; end it with 'fc-run --end --dir $dir'"
  [[ -S $dir/api.sock ]]
  kill -TERM "$(cut -d ' ' -f 1 "$dir/pid")"
  wait_until 20 no_vmm
  run -1 --separate-stderr snapshot-meta fsck
  assert_equal "$output" "found: $dir: files of a VMM whose guest no longer exists"
  # The files of a guest that exists, of another store, and of another program stay.
  make_fork b
  run_fork b
  kill -TERM "$(cut -d ' ' -f 1 "$(vm_dir b)/pid")"
  wait_until 20 no_vmm
  other=run/vm/c@01234567
  mkdir -p "$other" run/vm/d@01234567
  echo "$PWD/other/guests/c" >"$other/guest"
  run -0 --separate-stderr snapshot-meta fsck --repair
  assert_equal "$output" "repaired: $dir: files of a VMM whose guest no longer exists: removed"
  [[ ! -e $dir && -e $(vm_dir b)/console && -e $other && -e run/vm/d@01234567 ]]
  run -0 --separate-stderr snapshot-meta fsck
  # A new guest of the id.
  dir=$(vm_dir b)
  mv "$SNAPFORK_ROOT/guests/b" moved # a new directory cannot get its inode number
  rm "$SNAPFORK_ROOT/guests/base/template/forks/b"
  make_fork b
  [[ $(vm_dir b) != "$dir" ]]
  run_fork b
  [[ ! -e $dir && -S $(vm_dir b)/api.sock ]]
  snapfork stop b
  assert_clean b
}

@test "run reads the hot pages while the VMM starts, and loads after that" {
  make_template
  make_fork a
  : >"$SNAPFORK_ROOT/guests/base/template/hot.hpl"
  mkdir bin
  # shellcheck disable=SC2016 # for that script
  printf '#!/bin/bash\nuntil pgrep -f -- %q >/dev/null; do :; done\necho "$*" "$(snapshot-meta state a)" >>%q\n' \
    "--api-sock $PWD/run/" "$PWD/order" >bin/hotpage-record
  chmod +x bin/*
  PATH=$PWD/bin:$PATH run_fork a
  assert_equal "$(<order)" "readahead $SNAPFORK_ROOT/guests/base/template/hot.hpl --mem $SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/memory Standby"
  snapfork stop a
  # By steps.
  rm order bin/hotpage-record
  mkfifo started
  # Each end of the FIFO waits for the other.
  printf '#!/bin/bash\nread -r _ <%q\necho "$*" >>%q\n' "$PWD/started" "$PWD/order" >bin/hotpage-record
  printf '#!/bin/bash\n[[ " $* " != *" --dir "*" --caller "* ]] || echo >%q\nexec %q "$@"\n' "$PWD/started" "$(type -P fc-run)" >bin/fc-run
  printf '#!/bin/bash\n[[ $* != *snapshot/load* ]] || echo load >>%q\nexec %q "$@"\n' "$PWD/order" "$(type -P fc-api)" >bin/fc-api
  chmod +x bin/*
  PATH=$PWD/bin:$PATH run_fork a --wait
  assert_equal "$(<order)" "readahead $SNAPFORK_ROOT/guests/base/template/hot.hpl --mem $SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/memory
load"
  snapfork stop a
}

@test "a signal at any step of run leaves nothing" {
  make_template
  make_fork a
  local step
  for step in fc-run hook resume; do
    stop_run_at "$step"
    kill -s TERM "$spawned_pid"
    wait_until 20 is_gone "$spawned_pid"
    assert_clean a
  done
  # With --wait, the driver does each step by a call.
  for step in run-prepare fc-run run-begin load hook resume; do
    stop_run_at "$step" --wait
    kill -s TERM "$spawned_pid"
    wait_until 20 is_gone "$spawned_pid"
    assert_clean a
  done
}

@test "a signal or a kill while the VMM loads leaves nothing, and the next run works" {
  make_template
  make_fork a
  local signal option
  for signal in TERM INT KILL; do
    for option in --quiet --wait; do
      FAKE_FAIL=hang-load spawn_to out "$(type -P snapfork)" run --detach --firecracker "$fake" "$option" a
      wait_until 20 is_running a || fail "$(<out)"
      kill -s "$signal" "$spawned_pid"
      wait_until 20 is_gone "$spawned_pid"
      wait_until 20 no_vmm
      if [[ $signal == KILL ]]; then
        # With --wait, fc-api holds the lock until its call has failed.
        wait_until 20 snapfork -q run --detach --firecracker "$fake" a
        snapfork stop a
      fi
      assert_clean a
    done
  done
}

is_running() { # <id>
  [[ $(snapshot-meta state "$1" 2>/dev/null) == Running ]]
}

@test "a driver that is killed at any step of run leaves no VMM, and the next run works" {
  make_template
  make_fork a
  local step
  for step in fc-run hook resume {run-prepare,fc-run,run-begin,load,hook,resume}' --wait'; do
    # shellcheck disable=SC2086 # words
    stop_run_at $step
    kill -KILL "$spawned_pid"
    kill -KILL "$(<reached)" # an orphaned step holds the lock until it ends
    wait_until 20 no_vmm
    assert_equal "$(snapshot-meta state a)" Standby
    run -0 --separate-stderr run_fork a
    snapfork stop a
    assert_clean a
  done
}
