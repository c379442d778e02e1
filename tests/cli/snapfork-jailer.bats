#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork run --jailer with two test doubles, fake_jailer.sh and fake-firecracker: real users, chroot(2), mounts, PID
# namespaces and page server. tests/firecracker/jailer.bats has the same with the real programs.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load ../jail
load ../run_steps
load snapfork-jailer_helpers

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
