#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork run --jailer with a real Firecracker and its jailer. JAILER is the path of the jailer; FIRECRACKER must be
# static, as the released one is, because a jail has no libraries.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers
load run_helpers

# No other test runs as this user.
readonly JAIL_UID=$((100000 + $$)) JAIL_GID=64322

setup() {
  flow_setup
  [[ -n ${JAILER-} ]] || skip 'JAILER is not set'
  [[ -x $JAILER ]] || skip "JAILER: '$JAILER' is not a program"
  ! ldd "$firecracker" 2>/dev/null | grep -q '=>' || skip "FIRECRACKER: '$firecracker' is not static, and a jail has no libraries"
  firecracker_options
  jail_options=(--jailer "$JAILER" --uid "$JAIL_UID" --gid "$JAIL_GID")
}
teardown() {
  stop_everything
  local pid
  for pid in $(pgrep -u "$JAIL_UID"); do kill -KILL "$pid" || true; done
}

# Prints the answer of a guest in a jail.
jailed_guest_answers() { # <fork> <line>
  local console word=${2%% *} answers
  console=$(run_record "$1" .console)
  [[ $word != ping ]] || word=pong
  read_answers "$console" "$word"
  printf '%s\n' "$2" >"${console%/*}/input"
  eventually has_answers "$console" "$word" $((${#answers[@]} + 1))
  printf '%s\n' "${answers[-1]}"
}

no_process() {
  ! pgrep -u "$JAIL_UID" >/dev/null
}

no_jail() {
  no_process && [[ -z $(find "$SNAPFORK_ROOT" -uid "$JAIL_UID" -o -path '*/.snapfork/tmp/*') ]]
}

@test "a guest in a jail computes the same result: by the page server, after a standby from its own memory, and after a kill" {
  make_base_template
  fork_guests base a
  run_fork a "${jail_options[@]}"
  [[ $(run_record a .backend) == uffd ]]
  local pid
  pid=$(run_record a .pid)
  [[ $(stat -c %u:%g "/proc/$pid") == "$JAIL_UID:$JAIL_GID" ]]
  [[ ! -e /proc/$pid/root/etc ]]
  [[ $(jailed_guest_answers a sum) == "$sum" ]]
  run -0 snapshot-meta fsck
  snapfork standby a
  eventually no_jail
  snapfork restore "${firecracker_options[@]}" "${jail_options[@]}" a >"$BATS_TEST_TMPDIR/a.run"
  [[ $(run_record a .backend) == file ]]
  [[ $(jailed_guest_answers a sum) == "$sum" ]]
  # fc-run is killed: the guest ends with it, and the next run works.
  kill -KILL "$(pgrep -o -f "^fc-run .*--dir $BATS_TEST_TMPDIR/run/vm/a@")"
  eventually no_process
  snapfork restore "${firecracker_options[@]}" "${jail_options[@]}" a >"$BATS_TEST_TMPDIR/a.run"
  [[ $(jailed_guest_answers a ping) == pong* ]]
  snapfork delete --stop a
  eventually no_jail
  snapfork delete base
  nothing_is_left
}

@test "a guest with drives and a vsock runs in a jail with its own disk, and its vsock socket belongs to the user" {
  truncate -s 1M "$BATS_TEST_TMPDIR/disk"
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7' "$(jq -nc --arg disk "$BATS_TEST_TMPDIR/disk" --arg vsock "$BATS_TEST_TMPDIR/v.sock" '{
    drives: [{drive_id: "data", path_on_host: $disk, is_root_device: false, is_read_only: false}],
    vsock: {guest_cid: 3, uds_path: $vsock}}')"
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" --memory "$BATS_TEST_TMPDIR/snapshot/memory" --disk "$BATS_TEST_TMPDIR/disk"
  snapfork promote base
  fork_guests base a
  run_fork a "${jail_options[@]}"
  local pid vsock own=$SNAPFORK_ROOT/guests/a/disk
  pid=$(run_record a .pid) vsock=$(run_record a .vsock_path)
  [[ $(stat -c %u "$own") == "$JAIL_UID" ]]
  [[ $(stat -Lc %d:%i "/proc/$pid/root$own") == "$(stat -c %d:%i "$own")" ]]
  [[ -S $vsock && $(stat -c %u "$vsock") == "$JAIL_UID" ]]
  [[ $(jailed_guest_answers a sum) == "$sum" ]]
  snapfork stop a
  eventually no_jail
}

@test "--netns, cgroups and a failure of the real jailer" {
  make_base_template
  fork_guests base a
  run -125 snapfork run --detach "${firecracker_options[@]}" "${jail_options[@]}" --jailer-arg --nonsense a
  [[ $output == *'nonsense'* ]]
  eventually no_jail
  if [[ -d /sys/fs/cgroup/pids ]]; then
    local parent=snapfork-test-$$
    run_fork a "${jail_options[@]}" --jailer-arg --cgroup --jailer-arg pids.max=50 --jailer-arg --parent-cgroup --jailer-arg "$parent"
    [[ $(<"/sys/fs/cgroup/pids/$parent/a/pids.max") == 50 ]]
    snapfork stop a
    rmdir "/sys/fs/cgroup/pids/$parent"
    eventually no_jail
  fi
  local netns=snapfork-test-$$
  ip netns add "$netns" 2>/dev/null || skip "needs 'ip netns add'"
  run_fork a "${jail_options[@]}" --netns "$netns"
  [[ $(stat -Lc %i "/proc/$(run_record a .pid)/ns/net") == "$(stat -c %i "/run/netns/$netns")" ]]
  snapfork stop a
  ip netns delete "$netns"
  eventually no_jail
}
