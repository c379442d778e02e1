#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone --replace: the old or the new contents at any time.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

replace_on() { # <filesystem>
  on "$1"
  printf new >src
  printf old >file
  ln file other
  reflink-clone -q --replace src file
  assert_equal "$(<file) $(<other)" 'new old'
  reflink-clone -q --replace src absent
  assert_equal "$(<absent)" new
  mkdir -p tree/sub old/deep/down
  printf x >tree/sub/x
  printf y >old/deep/y
  chmod 0555 old/deep
  reflink-clone -q --replace --durable tree old
  diff -r tree old
  reflink-clone -q --replace tree fresh
  diff -r tree fresh
  # One type of file replaces another.
  reflink-clone -q --replace src old
  assert_equal "$(<old)" new
  reflink-clone -q --replace tree file
  diff -r tree file
  ln -s nowhere link
  reflink-clone -q --replace src link
  [[ -f link && ! -L link ]]
  no_temporaries
}

@test "--replace on XFS replaces files and trees by files and trees" { replace_on xfs; }
@test "--replace on btrfs replaces files and trees by files and trees" { replace_on btrfs; }
@test "--replace on ext4 replaces files and trees by files and trees" { replace_on ext4; }
@test "--replace on tmpfs replaces files and trees by files and trees" { replace_on tmpfs; }

@test "--replace refuses the source and its parents as DST" {
  mkdir -p tree/sub
  printf text >tree/sub/file
  ln tree/sub/file same
  local words
  for words in 'tree/sub/file tree' 'tree/sub tree' 'tree tree' 'same tree/sub/file' 'tree tree/sub'; do
    # shellcheck disable=SC2086 # words are words
    run --separate-stderr -2 reflink-clone --replace $words
    assert_equal "$output" ''
  done
  assert_equal "$(<tree/sub/file)" text
  no_temporaries
}

@test "--replace shows readers the old or the new contents at any time" {
  on xfs
  mkdir a b
  seq 200 | tee a/1 a/2 >a/3
  seq 300 | tee b/1 b/2 >b/3
  reflink-clone -q a dst
  # Only the name changes at once: a process that has looked up the old tree sees its removal.
  spawn bash -c 'touch begun; while [[ -d dst ]]; do :; done; touch gone'
  wait_until 10 test -e begun
  local i
  for ((i = 0; i < 30; i++)); do
    reflink-clone -q --replace b dst
    reflink-clone -q --replace a dst
  done
  kill "$spawned_pid"
  [[ ! -e gone ]] || fail 'there was a moment without it'
  diff -r a dst
  no_temporaries
}

@test "--replace keeps the old contents after an error" {
  on xfs
  make_guest guest
  mkdir dst
  printf old >dst/file
  local fault
  for fault in renameat2:error=EIO:when=2 mkdirat:error=ENOSPC:when=3 utimensat:error=EIO:when=4; do
    run --separate-stderr strace -f -qq -o /dev/null -e inject="$fault" reflink-clone -q --replace guest dst
    assert_equal "$status" 5
    assert_equal "$(ls -A)" $'dst\nguest'
    assert_equal "$(<dst/file)" old
  done
}

@test "without RENAME_EXCHANGE --replace keeps the old contents and prints advice" {
  on xfs
  make_guest guest
  mkdir tree
  printf old | tee tree/file >file
  local errno
  for errno in EINVAL ENOSYS; do
    # The first renameat2 finds that the name exists, the second is the exchange; for a file, rename(2) comes first.
    run --separate-stderr -3 strace -f -qq -o /dev/null -e inject="renameat2:error=$errno:when=2" reflink-clone --replace guest tree
    assert_equal "$stderr" "reflink-clone: cannot replace 'tree' in one step: its filesystem has no \
renameat2(RENAME_EXCHANGE); remove it yourself, then clone without --replace"
    run --separate-stderr -3 strace -f -qq -o /dev/null -e inject="renameat2:error=$errno" reflink-clone --replace file tree
    assert_contains "$stderr" 'no renameat2(RENAME_EXCHANGE)'
    run --separate-stderr -3 strace -f -qq -o /dev/null -e inject="renameat2:error=$errno" reflink-clone guest new
    assert_contains "$stderr" "cannot create 'new': its filesystem has no renameat2(RENAME_NOREPLACE)"
    assert_equal "$(<tree/file) $(ls -A)" $'old file\nguest\ntree'
  done
  # A file that replaces a file only needs rename(2).
  strace -f -qq -o /dev/null -e inject=renameat2:error=EINVAL reflink-clone -q --replace guest/metadata.json file
  cmp guest/metadata.json file
}
