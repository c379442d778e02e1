#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# template-lock seal, unseal: the proof of a seal.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2016 # the scripts in single quotes are for other shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose
load helpers
load template-lock_helpers

setup() { lock_setup; }
teardown() { common_teardown; }

@test "seal removes the write bits, is idempotent, and unseal restores them" {
  make_fake_guest base
  local memory
  memory=$(memory_of base)
  chmod 664 "$memory"
  run -0 --separate-stderr template-lock seal base
  assert_equal "$output$stderr" ''
  assert_equal "$(mode_of base)" 444
  run -0 --separate-stderr template-lock seal --json base
  assert_equal "$(json '[.type, .changed, .mode, .links, .lease_checked] | map(tostring) | join(" ")')" \
    'seal false 0444 1 true'
  run -0 template-lock unseal base
  assert_equal "$(mode_of base)" 644
  run -0 template-lock unseal base
  # The read permissions of other users do not change.
  chmod 600 "$memory"
  run -0 template-lock seal base
  assert_equal "$(mode_of base)" 400
}

@test "seal --dry-run and unseal --dry-run check, print and change nothing" {
  make_fake_guest base
  run -0 template-lock seal --dry-run base
  assert_equal "$output" "chmod 0400 $(memory_of base)"
  assert_equal "$(mode_of base)" 600
  template-lock seal base
  run -0 template-lock unseal --dry-run base
  assert_equal "$output" "chmod 0600 $(memory_of base)"
  assert_equal "$(mode_of base)" 400
}

@test "seal refuses while a writer has the memory open, and names it" {
  make_fake_guest base
  local memory
  memory=$(memory_of base)
  spawn bash -c 'exec 7>>"$0"; touch open; exec tail -f /dev/null' "$memory"
  wait_until 10 test -e open
  wait_until 10 runs_as "$spawned_pid" tail
  run -1 template-lock seal base
  assert_contains "$output" "cannot seal 'base': its memory is open for writing by $spawned_pid (tail)"
  assert_equal "$(mode_of base)" 600
  # The same if the mode has no write bits already.
  chmod 400 "$memory"
  run -1 template-lock seal base
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  # Readers are not refused.
  spawn tail -f "$memory"
  run -0 template-lock seal base
}

@test "seal detects a writer that opens the file before the mode changes" {
  require_cmd strace
  make_fake_guest base
  local memory inode
  memory=$(memory_of base)
  inode=$(stat -c %i "$memory")
  template-lock base -- true # the first lock of an id marks its file, by fchmod, too
  # Stopped at the entry of fchmod, while it holds the lease.
  spawn_to sealing strace -f -qq -o /dev/null -e trace=fchmod -e inject=fchmod:signal=SIGSTOP:when=1 template-lock seal base
  wait_until 10 grep -q "LEASE  ACTIVE .*:$inode " /proc/locks
  spawn bash -c ': >>"$0"' "$memory"
  wait_until 10 grep -q "LEASE  BREAKING .*:$inode " /proc/locks
  local sealer
  sealer=$(awk -v inode=":$inode\$" '$2 == "LEASE" && $6 ~ inode {print $5}' /proc/locks)
  continue_until_gone "$sealer"
  wait "${spawned[0]}" || assert_equal "$?" 1
  assert_contains "$(<sealing)" "cannot seal 'base': its memory is open for writing"
  assert_equal "$(mode_of base)" 600
}

@test "seal detects a writer that only has a mapping" {
  require_cmd python3
  make_fake_guest base
  spawn python3 -c 'import mmap, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 4096)
os.close(fd)
open("mapped", "w").close()
signal.pause()' "$(memory_of base)"
  wait_until 10 test -e mapped
  run -1 template-lock seal base
  assert_contains "$output" 'open for writing'
  assert_equal "$(mode_of base)" 600
}

@test "seal refuses a memory with several links unless it is sealed already" {
  make_fake_guest base
  local memory
  memory=$(memory_of base)
  ln "$memory" other-guest
  run -1 template-lock seal base
  assert_contains "$output" "reflink-clone --unshare $memory"
  assert_equal "$(mode_of base)" 600
  rm other-guest
  template-lock seal base
  ln "$memory" other-guest
  run -0 template-lock seal base
  run -1 template-lock unseal base
  assert_contains "$output" 'has 2 links'
  assert_equal "$(mode_of base)" 400
}

@test "unseal is refused for a template and while forks live" {
  make_fake_template base
  make_fake_fork base a1
  template-lock seal base
  run -1 template-lock unseal base
  assert_contains "$output" "cannot unseal template 'base': 1 fork live (a1); delete it first"
  rm -r "$SNAPFORK_ROOT/guests/a1" "$SNAPFORK_ROOT/guests/base/template/forks/a1"
  run -1 template-lock unseal base
  assert_contains "$output" 'demote it first'
  assert_equal "$(mode_of base)" 400
  printf '{"Id":"base"}' >"$SNAPFORK_ROOT/guests/base/metadata.json"
  run -0 template-lock unseal base
}

@test "seal refuses a guest without a memory file" {
  run -1 template-lock seal nobody
  assert_contains "$output" "no such guest 'nobody'"
  make_fake_guest base
  rm "$(memory_of base)"
  run -1 template-lock seal base
  assert_contains "$output" "cannot seal 'base': it has no snapshot memory"
  mkdir "$(memory_of base)"
  run -4 template-lock seal base
  rmdir "$(memory_of base)"
  mkfifo "$(memory_of base)"
  run -4 template-lock seal base
  rm "$(memory_of base)"
  ln -s /etc/passwd "$(memory_of base)"
  run -4 template-lock seal base
  assert_contains "$output" 'symbolic link'
}

@test "seal takes the lock, or uses the inherited one" {
  make_fake_guest base
  hold --shared base
  run -1 env -u SNAPFORK_LOCK_FD timeout 60 template-lock --shared base -- template-lock seal base
  assert_contains "$output" 'the inherited lock is shared'
  kill -KILL "$spawned_pid"
  run -0 template-lock base -- template-lock seal base
}

@test "seal on a filesystem without leases warns and searches for writers itself" {
  require_cmd strace
  make_fake_guest base
  local nth
  strace -o calls -e trace=fcntl template-lock seal --dry-run base
  nth=$(grep -n F_SETLEASE calls | head -n 1 | cut -d: -f1)
  run -0 strace -qq -o /dev/null -e "inject=fcntl:error=EINVAL:when=$nth" template-lock seal base
  assert_contains "$output" 'warning: cannot prove that no process writes'
  assert_equal "$(mode_of base)" 400
  template-lock unseal base
  spawn bash -c 'exec 7>>"$0"; touch open; exec tail -f /dev/null' "$(memory_of base)"
  wait_until 10 test -e open
  wait_until 10 runs_as "$spawned_pid" tail
  run -1 strace -qq -o /dev/null -e "inject=fcntl:error=EINVAL:when=$nth" template-lock seal base
  assert_contains "$output" "by $spawned_pid (tail)"
}

@test "seal killed or failing at each step leaves the memory as before or sealed" {
  require_cmd strace
  make_fake_guest base
  local call mode
  for call in fchmod fsync; do
    chmod 600 "$(memory_of base)"
    run -137 kill_at "$call" 1 template-lock seal base
    mode=$(mode_of base)
    [[ $mode == 600 || $mode == 400 ]] || fail "mode $mode"
    chmod 600 "$(memory_of base)"
    run -5 strace -qq -o /dev/null -e "inject=$call:error=EIO:when=1" template-lock seal base
    # The next call flushes the file, even if the mode is right already.
    run -0 strace -qq -o calls -e trace=fsync template-lock seal base
    assert_contains "$(<calls)" 'fsync('
    assert_equal "$(mode_of base)" 400
  done
}
