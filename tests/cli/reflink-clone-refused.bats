#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone: sources and destinations that are refused, and the effects of errors.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

@test "bad sources: missing, unreadable kinds, and kinds inside a tree" {
  run --separate-stderr -5 reflink-clone absent dst
  assert_contains "$stderr" "'absent': No such file"
  mkfifo fifo
  mkdir -p tree/sub
  mkfifo tree/sub/fifo
  local name
  for name in fifo /dev/null; do
    run --separate-stderr -4 reflink-clone "$name" dst
    assert_contains "$stderr" "'$name'"
  done
  run --separate-stderr -4 reflink-clone tree dst
  assert_contains "$stderr" "'tree/sub/fifo'"
  rm tree/sub/fifo
  if ((EUID == 0)); then
    mknod tree/sub/device c 1 3
    run --separate-stderr -4 reflink-clone tree dst
    assert_contains "$stderr" "'tree/sub/device'"
  fi
  [[ ! -e dst ]]
  no_temporaries
}

@test "a source without read permission is named" {
  on xfs
  require_cmd setpriv
  mkdir -p tree/locked mine
  touch tree/secret
  chmod 0600 tree/secret
  chmod 0700 tree/locked
  chown 65534 mine
  local as=(setpriv --reuid=65534 --regid=65534 --clear-groups "$(type -P reflink-clone)")
  run --separate-stderr -5 "${as[@]}" tree mine/dst
  assert_contains "$stderr" "'tree/locked': Permission denied"
  run --separate-stderr -5 "${as[@]}" tree/secret mine/dst
  assert_contains "$stderr" "'tree/secret': Permission denied"
  [[ -z $(ls -A mine) ]]
}

@test "bad destinations: inside the source, nowhere, read-only, too long" {
  mkdir -p tree/sub
  printf text >src
  run --separate-stderr -2 reflink-clone tree tree/sub/dst
  assert_contains "$stderr" 'into itself'
  run --separate-stderr -1 reflink-clone tree/sub tree
  assert_contains "$stderr" "'tree': it already exists"
  ln -s tree/sub way
  run -2 reflink-clone tree way/dst
  run --separate-stderr -5 reflink-clone src absent/dst
  assert_contains "$stderr" "'absent'"
  run --separate-stderr -5 reflink-clone src "$(printf 'n%.0s' {1..256})"
  assert_contains "$stderr" 'File name too long'
  # The longest possible name works, although the temporary name is longer.
  local long
  long=$(printf 'n%.0s' {1..255})
  reflink-clone -q src "$long"
  cmp src "$long"
  rm "$long"
  reflink-clone -q tree "$long"
  [[ -d $long/sub ]]
  [[ -z $(ls -A tree/sub) ]]
}

@test "a read-only mount is named" {
  on ext4
  printf text >"$BATS_TEST_TMPDIR/src"
  mkdir mnt
  mount --bind . mnt
  mount -o remount,bind,ro mnt
  run --separate-stderr reflink-clone "$BATS_TEST_TMPDIR/src" mnt/dst
  umount mnt
  assert_equal "$status" 5
  assert_contains "$stderr" 'Read-only file system'
}

@test "a full filesystem is reported before the first byte is written" {
  mount_fs tmpfs "$BATS_TEST_TMPDIR/small" 4
  head -c 3M /dev/urandom >src
  mkdir tree
  cp src tree/a
  cp src tree/b
  reflink-clone -q src small/first
  run --separate-stderr strace -f -qq -o trace -e trace=fallocate,pwrite64 reflink-clone src small/second
  assert_equal "$status" 5
  assert_contains "$stderr" 'it needs 3.0 MiB'
  assert_contains "$stderr" 'No space left on device'
  [[ ! -s trace ]] || fail 'it began to write'
  rm small/first
  # The first file of the tree fits, the second does not.
  run --separate-stderr -5 reflink-clone tree small/tree
  [[ -z $(ls -A small) ]] || fail "left: $(ls -A small)"
}

@test "the file size limit is an error and not SIGXFSZ" {
  head -c 2M /dev/urandom >src
  run --separate-stderr -5 bash -c 'ulimit -f 1024; reflink-clone src dst'
  assert_contains "$stderr" 'File too large'
  [[ ! -e dst ]]
}

@test "the errno of FICLONE decides whether the file is copied or the clone fails" {
  on xfs
  make_guest guest
  local errno n
  n=$(number_of ioctl FICLONE, reflink-clone --progress=never guest/overlay.raw dst)
  rm dst
  # ENOSPC must not lead to a copy, which would need more.
  for errno in ENOSPC EIO EDQUOT EPERM EROFS ETXTBSY; do
    run --separate-stderr strace -f -qq -o /dev/null -e inject="ioctl:error=$errno:when=$n" \
      reflink-clone --progress=never guest/overlay.raw dst
    assert_equal "$status" 5
    assert_contains "$stderr" "cannot reflink 'guest/overlay.raw' to 'dst': "
    [[ $stderr == *'; '* ]] || fail "no advice: $stderr"
    assert_equal "$(ls -A)" guest
  done
  for errno in EXDEV EOPNOTSUPP ENOTTY EINVAL; do
    run -0 strace -f -qq -o /dev/null -e inject="ioctl:error=$errno:when=$n" reflink-clone --progress=never --json guest/overlay.raw dst
    assert_equal "$(records 'select(.type == "file") | [.method, .refused]')" "[\"copy\",\"$errno\"]"
    cmp guest/overlay.raw dst
    rm dst
  done
}

@test "of two clones to one destination one succeeds, and the other is refused" {
  on xfs
  make_guest guest
  local round a b results=()
  for ((round = 0; round < 15; round++)); do
    reflink-clone -q guest dst 2>err-a 3>&- 4>&- &
    a=$!
    reflink-clone -q guest dst 2>err-b 3>&- 4>&- &
    b=$!
    results=(0 0)
    wait $a || results[0]=$?
    wait $b || results[1]=$?
    [[ ${results[*]} == '0 1' || ${results[*]} == '1 0' ]] || fail "${results[*]}: $(cat err-a err-b)"
    diff -r --no-dereference guest dst
    no_temporaries
    rm -rf dst
  done
}
