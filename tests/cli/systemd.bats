#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The systemd units, checked without a running systemd.
# shellcheck disable=SC2154 # run sets output and status

load helpers

setup() {
  common_setup
  require_cmd systemd-analyze
  units=$(realpath "$BATS_TEST_DIRNAME/../../systemd")
}
teardown() { common_teardown; }

# systemd-analyze looks for the program of ExecStart.
installed_unit() {
  sed "s|^ExecStart=uffd-keeper|ExecStart=$(type -P uffd-keeper)|" "$units/uffd-keeper.service" >uffd-keeper.service
}

@test "uffd-keeper.service: systemd accepts every setting" {
  installed_unit
  # The manual pages are not installed here.
  run -0 systemd-analyze verify --man=no "$PWD/uffd-keeper.service"
  assert_equal "$(grep uffd-keeper <<<"$output" || true)" ''
}

@test "uffd-keeper.service: its exposure is at most 4.0" {
  installed_unit
  run systemd-analyze security --offline=true --threshold=40 --no-pager "$PWD/uffd-keeper.service"
  ((status == 0)) || fail "$output"
}

@test "uffd-keeper.service: the keeper can store its descriptors, and is watched" {
  run -0 grep -xE 'FileDescriptorStoreMax=[1-9][0-9]{4}|WatchdogSec=30s' "$units/uffd-keeper.service"
  assert_equal "${#lines[@]}" 2
}

@test "uffd-keeper.service: the end of the keeper does not end the server" {
  run -0 grep -xE 'Type=notify|NotifyAccess=all|ExitType=cgroup|Restart=always|KillMode=mixed|RuntimeDirectoryPreserve=yes' \
    "$units/uffd-keeper.service"
  assert_equal "${#lines[@]}" 6
}

@test "the page server notifies systemd when it serves, also under a keeper" {
  require_cmd python3
  # A stand-in for systemd: a socket that receives notifications.
  spawn_to notified python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("notify")
open("bound", "w").close()
while True:
    print(s.recv(100).decode(), flush=True)'
  wait_until 10 test -e bound
  head -c 4096 /dev/zero >memory
  NOTIFY_SOCKET=$PWD/notify spawn uffd-keeper -- --mem memory --socket s.sock
  wait_until 10 grep -qx READY=1 notified
  [[ -S s.sock ]]
  kill -TERM "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
}
