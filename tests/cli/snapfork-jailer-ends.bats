#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The ends of snapfork run --jailer, cgroups, network namespaces, standby and restore in a jail.
# namespaces and page server. tests/firecracker/jailer.bats has the same with the real programs.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load ../jail
load ../run_steps
load snapfork-jailer_helpers

@test "cgroups that the jailer makes are removed, also after a kill" {
  local parent=snapfork-test-$$ group
  group=/sys/fs/cgroup/pids/$parent/a
  mkdir "/sys/fs/cgroup/pids/$parent" 2>/dev/null || skip 'needs cgroups of version 1, with pids'
  make_template_with_devices
  make_fork a
  local options=(--jailer-arg --cgroup --jailer-arg pids.max=50 --jailer-arg --parent-cgroup --jailer-arg "$parent")
  run -0 run_jailed a "${options[@]}"
  assert_equal "$(<"$group/pids.max")" 50
  snapfork stop a
  [[ ! -e $group ]]
  assert_clean a
  run -0 run_jailed a "${options[@]}"
  kill -KILL "$(runner_of a)"
  wait_until 20 no_vmm
  [[ -e $group ]]
  snapshot-meta fsck --repair
  [[ ! -e $group ]]
  # One that exists is not the jailer's.
  mkdir "$group"
  run -0 run_jailed a "${options[@]}"
  snapfork stop a
  rmdir "$group" "/sys/fs/cgroup/pids/$parent"
  assert_clean a
}

@test "the jailer enters the network namespace, whose taps are checked before" {
  require_cmd ip nsenter
  netns=snapfork-test-$$
  ip netns add "$netns" 2>/dev/null || skip "needs 'ip netns add'"
  make_template_with_devices
  make_fork a
  run -1 --separate-stderr run_jailed a --netns no-such
  run -0 --separate-stderr run_jailed a --netns "$netns"
  assert_equal "$(stat -Lc %i "/proc/$(json .pid)/ns/net")" "$(stat -c %i "/run/netns/$netns")"
  snapfork stop a
  assert_clean a
}

@test "a shared file is shown to the jail and keeps its owner" {
  printf 'shared\n' >image
  truncate -s 1M image
  chmod 644 image
  "$HELPERS/write-vmstate" state 10.0.0 4 "ro-drive=$PWD/image"
  head -c 4M /dev/urandom >memory
  snapfork import own --state state --memory memory --shared-file "$PWD/image"
  FAKE_OPENED=/jail/opened run -0 --separate-stderr run_jailed own
  assert_contains "$(<"$(jail_dir own)/opened")" "drive $PWD/image"
  assert_equal "$(stat -c %u image)" 0
  snapfork stop own
  assert_clean own
}

@test "the guest is deleted while its hook runs: run --jailer fails, and leaves nothing" {
  make_template_with_devices
  make_fork a
  # shellcheck disable=SC2016 # for the command
  run -125 run_jailed a --after-load 'snapfork -q stop a && snapfork -q delete a'
  wait_until 20 no_vmm
  [[ ! -e $(jail_dir a) && ! -e $SNAPFORK_ROOT/guests/a ]]
  assert_equal "$(find "$SNAPFORK_ROOT" -uid "$JAIL_UID")" ''
}

@test "run --jailer --dry-run prints a script that does the same" {
  make_template_with_devices
  make_fork a
  run -0 --separate-stderr run_jailed a --dry-run
  [[ ! -e run/vm && ! -e $(jail_dir a) ]]
  printf '%s\n' "${lines[@]#+ }" >plan
  run -0 bash plan 3>&- 4>&-
  assert_equal "$(snapshot-meta state a 2>/dev/null)" Running
  assert_equal "$(fc-api "$(vm_dir a)/jail/api.sock" GET / | jq -r .state)" Running
  snapfork stop a
  assert_clean a
}

@test "standby of a guest in a jail writes its snapshot, and restore --jailer continues it from its own memory" {
  make_template_with_devices
  make_fork a
  local type
  FAKE_WORK=3 run -0 run_jailed a --track-dirty-pages
  for type in full diff; do
    run -0 --separate-stderr snapfork standby --type "$type" a
    assert_clean a
    run -0 snapshot-meta verify a
    run -1 cmp memory "$SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/memory"
    assert_equal "$(stat -c '%u %h' "$SNAPFORK_ROOT/guests/a/snapshots/snapshot-latest/"{state,memory} | uniq)" '0 1'
    FAKE_WORK=3 run -0 --separate-stderr snapfork restore --firecracker "$fake" --jailer "$jailer" --uid "$JAIL_UID" --gid "$JAIL_GID" --track-dirty-pages a
    assert_equal "$(json .backend)" file
  done
  # A snapshot that fails leaves the guest running.
  snapfork stop a
  snapshot-meta accept a
  FAKE_FAIL=late-create run -0 run_jailed a
  run -1 --separate-stderr snapfork standby a
  assert_contains "$stderr" 'No space left on device'
  assert_equal "$(fc-api "$(vm_dir a)/jail/api.sock" GET / | jq -r .state)" Running
  assert_equal "$(find "$(jail_dir a)/" "$SNAPFORK_ROOT/.snapfork/tmp" -path "$(jail_dir a)/memory" -o -name 'standby*')" ''
  snapfork stop a
  assert_clean a
}

@test "fork --from-running of a guest in a jail restores it in the same jail" {
  make_template_with_devices
  make_fork a
  run -0 run_jailed a --clock keep
  run -0 --separate-stderr snapfork fork --from-running a b
  assert_equal "$(snapshot-meta state a 2>/dev/null)" Running
  assert_equal "$(stat -c %u "/proc/$(snapshot-meta get a HypervisorPID)")" "$JAIL_UID"
  assert_equal "$(stat -c %u "$SNAPFORK_ROOT/guests/b/rootfs")" 0
  snapfork stop a
  assert_clean a
}

@test "a file that a VMM puts into its jail in place of its snapshot is refused" {
  make_template_with_devices
  make_fork a
  run -0 run_jailed a
  local jail name
  jail=$(jail_dir a)
  printf 'secret\n' >secret
  ln -s "$PWD/secret" "$jail/link"
  printf 'x' >"$jail/hard"
  ln "$jail/hard" "$jail/other"
  mkdir "$jail/directory"
  mkfifo "$jail/fifo"
  printf 'root' >"$jail/root"
  chown -h "$JAIL_UID:$JAIL_GID" "$jail"/{link,hard,directory,fifo}
  for name in link hard directory fifo root absent; do
    run fc-run --dir "$(vm_dir a)" --copy-from-jail "$PWD/taken/$name"
    ((status == 5)) # no such directory
    mkdir -p taken
    run fc-run --dir "$(vm_dir a)" --copy-from-jail "$PWD/taken/$name"
    ((status == 1 || status == 5))
    run fc-run --dir "$(vm_dir a)" --from-jail "$PWD/taken/$name"
    ((status == 1 || status == 5))
    rm -rf taken
  done
  assert_equal "$(stat -c %u secret)" 0
  run -1 --separate-stderr fc-run --dir "$PWD/run/vm" --into-jail "$PWD/secret"
  assert_contains "$stderr" 'its VMM is not in a jail'
  snapfork stop a
  assert_clean a
}

@test "a second fc-run with the same jail directory is refused, and the VMM that lives keeps it" {
  make_template_with_devices
  make_fork a
  run -0 run_jailed a
  run -1 --separate-stderr fc-run --dir "$PWD/run/vm/second" --id a --firecracker "$fake" --jailer "$jailer" \
    --uid "$JAIL_UID" --gid "$JAIL_GID" --jail-base "$SNAPFORK_ROOT/guests/a" --jail-dir "$(jail_dir a)" \
    --jail-write "$SNAPFORK_ROOT/guests/a/rootfs"
  assert_contains "$stderr" "cannot use '$(jail_dir a)': another process uses it"
  [[ ! -e run/vm/second ]]
  assert_equal "$(fc-api "$(vm_dir a)/jail/api.sock" GET / | jq -r .state)" Running
  assert_equal "$(stat -c %u "$SNAPFORK_ROOT/guests/a/rootfs")" "$JAIL_UID"
  snapfork stop a
  assert_clean a
}
