#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A full disk is status 5 with a message; complete forks stay, and nothing else is left.
# shellcheck disable=SC2154 # stderr is set by run

load helpers

teardown() {
  drop_store
}

# Fills the filesystem so that not even an empty file fits: ext4 has no free inode, XFS no free block for new inodes.
fill_fs() { # <filesystem>
  local count=2000
  mkdir "$BATS_TEST_TMPDIR/fs/empty"
  if [[ $1 == ext4 ]]; then
    count=$(stat --file-system --format=%d "$SNAPFORK_ROOT")
  else
    head -c 1G /dev/zero >"$BATS_TEST_TMPDIR/fs/fill" 2>/dev/null || true
  fi
  (cd "$BATS_TEST_TMPDIR/fs/empty" && seq "$count" | xargs touch) 2>/dev/null || true
}

empty_fs() {
  rm -rf "$BATS_TEST_TMPDIR"/fs/{fill,empty}
}

delete_without_lock_file() { # <filesystem> [MiB]
  require_root
  make_store "$@"
  make_template
  snapfork -q fork --backend file base f >/dev/null
  snapfork -q fork --backend file base g >/dev/null
  rm "$SNAPFORK_ROOT"/.snapfork/locks/{f,base}.*
  fill_fs "$1"
  run -125 template-lock --shared f -- true
  assert_contains "$output" 'No space left on device'
  run -1 snapfork delete base
  assert_contains "$output" "'base'"
  run -0 snapfork delete f
  assert_equal "$output" "snapfork: 'f' is deleted"
  [[ ! -e $SNAPFORK_ROOT/guests/f ]]
  assert_equal "$(snapshot-meta forks base)" g
  empty_fs
  snapfork -q delete g base
  assert_nothing_left
}

@test "delete on a full XFS disk of a guest without a lock file" { delete_without_lock_file xfs 300; }
@test "delete on a full ext4 disk of a guest without a lock file" { delete_without_lock_file ext4 160; }

@test "on a full disk one lock covers all ids without a lock file, and a refusal names its holder" {
  require_root
  make_store ext4 160
  make_template
  fill_fs ext4
  # shellcheck disable=SC2016 # for the shell under the lock
  template-lock nofile -- bash -c 'touch "$0"; exec tail -f /dev/null' "$BATS_TEST_TMPDIR/held" 3>&- 4>&- &
  spawned+=("$!")
  wait_until 10 test -e "$BATS_TEST_TMPDIR/held"
  wait_until 10 runs_as "${spawned[-1]}" tail
  run -1 template-lock --no-wait nofile -- true
  assert_contains "$output" "cannot lock 'nofile': held exclusively by ${spawned[-1]} (tail)"
  run -1 template-lock wait --timeout 0 other
  assert_contains "$output" "held exclusively by ${spawned[-1]} (tail)"
  run -0 template-lock holders nofile
  assert_contains "$output" "${spawned[-1]}"$'\texclusive\t'
  run -0 template-lock --no-wait base -- true
  empty_fs
  # The directory stays locked when files fit again, until its holder ends; then a process that waited for it gets the lock.
  run -1 template-lock --no-wait new -- true
  template-lock --timeout 60 new -- touch "$BATS_TEST_TMPDIR/got" 3>&- 4>&- &
  spawned+=("$!")
  local inode
  inode=$(stat -c %i "$SNAPFORK_ROOT/.snapfork/locks")
  wait_until 10 grep -q -- "->.*:$inode " /proc/locks
  kill -KILL "${spawned[-2]}"
  wait_until 10 test -e "$BATS_TEST_TMPDIR/got"
}

fork_setup() {
  require_root
  # ext4 has no reflinks: each fork copies 20 MiB of disk, and two or three of them fit.
  make_store ext4 160
  make_template
  head -c 20M /dev/urandom >"$SNAPFORK_ROOT/guests/base/overlay.raw"
  before=$(store_listing)
}

@test "fork -n on a full disk makes none of the forks, and exits with 5" {
  fork_setup
  run -5 --separate-stderr snapfork fork --backend file -n 5 base
  assert_equal "$output" ''
  assert_contains "$stderr" 'No space left on device'
  assert_contains "$stderr" 'not all of 5 forks can be made, so none is made; --keep-going keeps those that can'
  assert_equal "$(store_listing)" "$before"
}

@test "fork -n --keep-going on a full disk keeps and prints the forks that fit, and exits with 5" {
  fork_setup
  run -5 --separate-stderr snapfork fork --backend file -n 5 --keep-going base
  assert_contains "$stderr" 'No space left on device'
  local made
  made=$(field .id | sort)
  [[ -n $made ]]
  assert_equal "$(snapshot-meta forks base | sort)" "$made"
  assert_equal "$(cd "$SNAPFORK_ROOT/guests/base/template/forks" && printf '%s\n' * | sort)" "$made"
  assert_equal "$(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
  mapfile -t made <<<"$made"
  snapfork -q delete "${made[@]}"
  assert_equal "$(store_listing)" "$before"
}

@test "fork and import on a full disk leave nothing" {
  fork_setup
  dd if=/dev/zero of="$BATS_TEST_TMPDIR/fs/fill" bs=1k status=none 2>/dev/null || true
  run -5 --separate-stderr snapfork --json fork --backend file base f
  assert_equal "$(json .code)" system
  assert_contains "$stderr" 'No space left on device'
  run -5 --separate-stderr snapfork import other --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  rm "$BATS_TEST_TMPDIR/fs/fill"
  assert_equal "$(store_listing)" "$before"
  snapfork -q fork --backend file base f >/dev/null
  snapfork -q delete f base
  assert_nothing_left
}
