#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork run --jailer with two test doubles, fake_jailer.sh and fake-firecracker: real users, chroot(2), mounts, PID
# namespaces and page server. tests/firecracker/jailer.bats has the same with the real programs.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load ../jail
load ../run_steps

setup() {
  common_setup
  require_jails
  fake=$HELPERS/fake-firecracker
  export SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
}

teardown() {
  local pid
  for pid in $(pgrep -f -- "$BATS_TEST_TMPDIR/(run|root|bin)/" | grep -vx "$$") $(pgrep -u "$JAIL_UID"); do
    kill -KILL "$pid" 2>/dev/null || true
  done
  [[ ! -v netns ]] || ip netns delete "$netns"
  common_teardown
}

snapfork() { # without the descriptors of bats
  command snapfork -q "$@" 3>&- 4>&-
}

make_fork() { # <id> [option of fork]...
  snapfork fork "${@:2}" base "$1" >/dev/null 2>&1
}

# The first process of the PID namespace has the same words.
runner_of() { # <id>
  pgrep -o -f "^fc-run .*--dir $(vm_dir "$1") "
}

@test "run --jailer: the guest runs as the user, in a root of its own, with its own files, and stop removes all of it" {
  make_template_with_devices
  make_fork a
  local own=$SNAPFORK_ROOT/guests/a pid
  # shellcheck disable=SC2016 # for the command
  FAKE_OPENED=/jail/opened FAKE_VERIFY=/jail/verify FAKE_WORK=3 run -0 --separate-stderr run_jailed a \
    --after-load 'cp memory "${SNAPFORK_API_SOCKET%/*}/verify"; chmod 644 "${SNAPFORK_API_SOCKET%/*}/verify"
      [[ -S $SNAPFORK_VSOCK ]] && echo "$SNAPFORK_VSOCK" >vsock'
  assert_equal "$(json 'del(.pid, .seconds)' | jq -c .)" \
    "{\"type\":\"run\",\"v\":1,\"id\":\"a\",\"api_socket\":\"$(vm_dir a)/jail/api.sock\",\"vsock_path\":\"$(vm_dir a)/jail/vsock.sock\",\"console\":\"$(vm_dir a)/console\",\"version\":\"1.16.1\",\"firecracker_id\":\"a\",\"backend\":\"uffd\"}"
  assert_equal "$(<vsock)" "$(vm_dir a)/jail/vsock.sock"
  pid=$(json .pid)
  assert_equal "$(awk '/^(Uid|Gid|Groups):/ {print $2}' "/proc/$pid/status" | xargs)" "$JAIL_UID $JAIL_GID"
  assert_equal "$(fc-api "$(vm_dir a)/jail/api.sock" GET / | jq -r .state)" Running
  assert_equal "$(snapshot-meta state a 2>/dev/null)" Running
  assert_equal "$(<"$(jail_dir a)/opened")" "drive $own/rootfs"$'\n'"vsock $own/vsock.sock"
  # What it opened is the fork's own: the same inode, which belongs to the user.
  assert_equal "$(stat -Lc %d:%i "/proc/$pid/root$own/rootfs")" "$(stat -c %d:%i "$own/rootfs")"
  assert_equal "$(stat -c %u:%g "$own/rootfs" "$own/snapshots/snapshot-latest/state" "$(vm_dir a)/jail/"{api,vsock}.sock | uniq)" "$JAIL_UID:$JAIL_GID"
  assert_equal "$(stat -c %u "$own/snapshots/snapshot-latest/memory" "$own/metadata.json" | uniq)" 0
  # The rest of the host does not exist there.
  [[ ! -e /proc/$pid/root$own/metadata.json && ! -e /proc/$pid/root$own/snapshots/snapshot-latest/memory && ! -e /proc/$pid/root/proc ]]
  run -0 --separate-stderr snapshot-meta fsck
  run -1 --separate-stderr run_jailed a
  assert_contains "$stderr" 'it is already Running'
  run -1 --separate-stderr snapfork delete a
  run -0 snapfork stop a
  snapshot-meta accept a # its disk changed
  assert_clean a
  run -1 cmp rootfs "$own/rootfs"
  # Without a jail it runs as before.
  run -0 --separate-stderr snapfork run --detach --firecracker "$fake" a
  assert_equal "$(json .vsock_path)" "$own/vsock.sock"
  snapfork stop a
  assert_clean a
}

@test "run --jailer refuses options that do not belong together, and names of users" {
  make_template_with_devices
  make_fork a
  run -2 --separate-stderr snapfork run --uid 5 --gid 5 a
  assert_contains "$stderr" '--uid, --gid and --jailer-arg need --jailer PATH'
  run -2 --separate-stderr snapfork run --jailer "$jailer" --uid 5 a
  assert_contains "$stderr" '--jailer needs --uid N and --gid N'
  local bad
  for bad in 0 nobody -1 4294967295 99999999999 '' ' 5' 0x10; do
    run -2 --separate-stderr snapfork run --jailer "$jailer" --gid 5 --uid "$bad" a
    assert_contains "$stderr" 'for --uid: '
  done
  run -2 --separate-stderr snapfork run --jailer "$jailer" --uid 5 --gid users a
  run -2 snapfork run --jailer '' --uid 5 --gid 5 a
  run -2 snapfork run --jailer "$jailer" --uid 5 --gid 5 --prepare a
  run -2 snapfork run --jailer "$jailer" --uid 5 --gid 5 --socket x a
  run -2 snapfork run --jailer "$jailer" --uid 5 --gid 5 a -- true
  for bad in --daemonize --new-pid-ns --uid --chroot-base-dir --netns --; do
    run -2 --separate-stderr run_jailed a --jailer-arg "$bad"
    assert_contains "$stderr" "bad argument '$bad' for the jailer: "
    assert_clean a
  done
}

@test "a jailer that is missing, not executable, or fails leaves nothing" {
  make_template_with_devices
  make_fork a
  run -127 --separate-stderr run_jailed a --jailer "$PWD/absent"
  assert_contains "$stderr" "cannot run '$PWD/absent'"
  assert_clean a
  run -126 run_jailed a --jailer "$PWD/state"
  assert_clean a
  run -125 --separate-stderr run_jailed a --jailer /bin/false
  assert_contains "$stderr" 'it ended with exit status 1'
  assert_clean a
  local when
  for when in early late; do
    FAKE_JAILER_FAIL=$when run -125 --separate-stderr run_jailed a
    assert_contains "$stderr" "its last lines: fake jailer: fails $when"
    assert_clean a
  done
  # A jailer that stays the parent of its VMM.
  printf '#!/bin/bash\n%q "$@" & wait\n' "$jailer" >parent
  chmod +x parent
  run -125 --separate-stderr run_jailed a --jailer "$PWD/parent" # it has another pid
  assert_contains "$stderr" 'the program must become Firecracker by exec'
  assert_clean a
  FAKE_FAIL=load run -125 run_jailed a
  assert_clean a
  FAKE_FAIL=hang-load,ignore-term run -125 run_jailed a --load-timeout 0.3
  assert_clean a
  run -0 run_jailed a
  snapfork stop a
  assert_clean a
}

@test "linked memory is served by the page server in a jail, and --backend file is refused for it" {
  make_template_with_devices
  make_fork a
  local _
  run -1 --separate-stderr run_jailed a --backend file
  assert_contains "$stderr" "memory' to a jail: it has 2 links, so it is not the guest's alone"
  run -1 --separate-stderr run_jailed a --backend file --dry-run
  assert_clean a
  for _ in 1 2; do # also the second load, which would be from the file without a jail
    run -0 --separate-stderr run_jailed a
    assert_equal "$(json .backend)" uffd
    snapfork stop a
    assert_clean a
  done
  # Memory of its own is given to the jail, and cannot be written there.
  snapfork import own --state state --memory memory --disk rootfs=/somewhere/rootfs
  run -0 --separate-stderr run_jailed own
  assert_equal "$(json .backend)" file
  run -0 cmp memory "/proc/$(json .pid)/root$SNAPFORK_ROOT/guests/own/snapshots/snapshot-latest/memory"
  snapfork stop own
  assert_clean own
}

@test "only the user of the jail can connect to the session" {
  make_template_with_devices
  make_fork a
  # shellcheck disable=SC2016 # for the command
  run -125 --separate-stderr run_jailed a --after-load 'uffd-ctl --control "$SNAPFORK_PAGER" session "$(snapshot-meta session-name a)" >session; false'
  assert_equal "$(jq -r .state session)" serving
  assert_clean a
}

@test "run --jailer refuses a socket path that is too long, and names its length" {
  make_template_with_devices
  make_fork a
  local dir=$BATS_TEST_TMPDIR/
  while ((${#dir} < 84)); do dir+=r; done # long enough for the socket of the session, too long for those in the jail
  SNAPFORK_PAGER=$dir/p.sock run -2 --separate-stderr run_jailed a
  assert_contains "$stderr" "/jail/api.sock' has "
  wait_until 20 no_vmm
  [[ ! -e $(jail_dir a) ]]
}

@test "a link where the jail will be is not followed" {
  make_template_with_devices
  make_fork a
  mkdir victim
  touch victim/file
  ln -s "$PWD/victim" "$(jail_dir a)"
  ln -s "$PWD/victim" "$SNAPFORK_ROOT/guests/a/fake-firecracker" # where the jailer makes its directories
  run -0 run_jailed a
  snapfork stop a
  assert_equal "$(ls -A victim)" file
  assert_equal "$(stat -c %u victim victim/file | uniq)" 0
  rm "$SNAPFORK_ROOT/guests/a/fake-firecracker"
  assert_clean a
  # A disk that is a link.
  mv "$SNAPFORK_ROOT/guests/a/rootfs" victim/
  ln -s "$PWD/victim/rootfs" "$SNAPFORK_ROOT/guests/a/rootfs"
  run run_jailed a
  ((status != 0))
  assert_equal "$(stat -c %u victim/rootfs)" 0
}

@test "what a VMM leaves in its jail is removed and not followed, and its links lead no program away" {
  make_template_with_devices
  make_fork a
  mkdir victim
  touch victim/file
  run -0 --separate-stderr run_jailed a
  local jail
  jail=$(jail_dir a)
  # What a VMM can do that has left its seccomp filter.
  (
    cd "$jail"
    mkdir -m 755 d
    ln -s "$BATS_TEST_TMPDIR/victim" d/link
    ln -s "$BATS_TEST_TMPDIR/victim" state
    rm -r snapshots rootfs
    mv api.sock real.sock
    ln -s real.sock api.sock
    chown -hR "$JAIL_UID:$JAIL_GID" d state api.sock
  )
  # fc-api does not follow the link, which might lead to the socket of another guest.
  run -5 --separate-stderr fc-api "$(vm_dir a)/jail/api.sock" GET /
  assert_contains "$stderr" 'Permission denied'
  run -0 snapfork stop a
  assert_equal "$(ls -A victim)" file
  assert_clean a
}

@test "run --jailer stays with its VMM, and passes on signals and the exit status" {
  make_template_with_devices
  make_fork a
  local signal ended
  for signal in TERM INT KILL; do
    spawn_to out "$(type -P snapfork)" -q run --firecracker "$fake" --jailer "$jailer" --uid "$JAIL_UID" --gid "$JAIL_GID" a
    wait_until 20 test -s out
    if [[ $signal == KILL ]]; then
      kill -KILL "$(jq .pid out)" # the VMM
    else
      kill -s "$signal" "$spawned_pid"
    fi
    ended=0
    wait "$spawned_pid" || ended=$?
    assert_equal "$ended" $((128 + $(kill -l "$signal")))
    snapfork stop a
    assert_clean a
  done
}

@test "after a kill of fc-run no VMM is left, and the next run, fsck or delete removes the rest" {
  make_template_with_devices
  make_fork a
  local next
  for next in run fsck stop delete; do
    run -0 run_jailed a
    kill -KILL "$(runner_of a)"
    wait_until 20 no_vmm
    assert_equal "$(snapshot-meta state a 2>/dev/null)" Standby
    [[ -e $(jail_dir a) && $(stat -c %u "$SNAPFORK_ROOT/guests/a/rootfs") == "$JAIL_UID" ]]
    case $next in
      run)
        run -0 run_jailed a
        snapfork stop a
        ;;
      fsck)
        run -1 --separate-stderr snapshot-meta fsck
        assert_contains "$output" 'jail'
        run -0 --separate-stderr snapshot-meta fsck --repair
        run -0 --separate-stderr snapshot-meta fsck
        assert_equal "$(stat -c %u "$SNAPFORK_ROOT/guests/a/rootfs")" 0
        snapfork stop a
        ;;
      stop) snapfork stop a ;;
      delete)
        snapfork delete a
        [[ ! -e $(jail_dir a) ]]
        assert_equal "$(find run/vm -mindepth 1)" ''
        return
        ;;
    esac
    assert_clean a
  done
}

@test "a fork whose guest ran in a jail has nothing of the jail" {
  make_template_with_devices
  make_fork a
  run -0 run_jailed a
  kill -KILL "$(runner_of a)"
  wait_until 20 no_vmm
  snapfork fork a b >/dev/null
  assert_equal "$(cd "$SNAPFORK_ROOT/guests/b" && find . | sort | xargs)" \
    '. ./metadata.json ./rootfs ./snapshots ./snapshots/snapshot-latest ./snapshots/snapshot-latest/memory ./snapshots/snapshot-latest/state'
}

@test "a signal or a kill at any step of run --jailer leaves no VMM, and the next run works" {
  make_template_with_devices
  make_fork a
  local step signal
  for signal in TERM KILL; do
    for step in run-prepare fc-run jailer run-begin load hook; do
      stop_jailed_run_at "$step"
      kill -s "$signal" "$spawned_pid"
      [[ $signal == TERM ]] || kill -KILL "$(<reached)" 2>/dev/null || true
      wait_until 20 is_gone "$spawned_pid"
      wait_until 20 no_vmm
      if [[ $signal == KILL ]]; then
        assert_equal "$(snapshot-meta state a 2>/dev/null)" Standby
        wait_until 20 run_jailed a
        snapfork stop a
      fi
      assert_clean a
    done
  done
}

# Starts `run --jailer` and waits until it stops at a step; see stop_run_at. The step may also be `jailer`.
stop_jailed_run_at() { # <step>
  mkdir -p bin
  cat >bin/jailer <<SH
#!/bin/bash
[[ $1 != jailer ]] || { sed 's/ .*//' /proc/self/stat >'$PWD/reached'; exec sleep infinity; }
exec '$jailer' "\$@"
SH
  chmod +x bin/jailer
  stop_run_at "$1" --jailer "$PWD/bin/jailer" --uid "$JAIL_UID" --gid "$JAIL_GID"
}

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
