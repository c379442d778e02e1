#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The ends of snapfork run: stop, restore, failures, signals and kills.
# tests/firecracker/run.bats has the same with a real Firecracker.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load ../run_steps
load snapfork-run_helpers

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
