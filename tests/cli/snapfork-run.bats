#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork run with fake-firecracker, a test double: options and bad input. snapfork-run-ends.bats has ends, signals and kills.
# tests/firecracker/run.bats has the same with a real Firecracker.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load ../run_steps
load snapfork-run_helpers

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
  local directory
  printf -v directory 'x%.0s' {1..80}
  export SNAPFORK_PAGER=$PWD/$directory/p.sock
  run -2 --separate-stderr run_fork a
  assert_contains "$stderr" 'not 1 to 107'
}
