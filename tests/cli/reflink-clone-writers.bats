#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone and a process that writes to the file: nothing that it writes is lost or hidden.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

# ---- a clone

@test "a copy of a file that is open for writing is not called a copy of one instant" {
  local type
  for type in xfs ext4; do
    on "$type"
    make_disk src
    exec {writer}<>src
    run --separate-stderr -0 reflink-clone src dst
    exec {writer}>&-
    assert_contains "$stderr" "warning: 'src' is being written to; process $BASHPID ("
    if can_reflink "$type"; then
      assert_contains "$stderr" 'the clone has its contents of one instant'
    else
      assert_contains "$stderr" 'the copy may mix its contents of several instants'
      assert_contains "$stderr" '--steady'
    fi
  done
}

@test "--steady refuses a source that is written to during the clone, and leaves nothing" {
  require_cmd strace
  local type call status
  for type in xfs ext4; do
    on "$type"
    head -c 2M /dev/urandom >src
    call=pwrite64
    can_reflink "$type" && call=ioctl
    stop_after "$call" 1 reflink-clone --progress=never --steady src dst
    printf X | dd of=src conv=notrunc status=none
    status=0
    go_on || status=$?
    assert_equal "$status" 1
    grep -q "cannot clone 'src': it changed meanwhile" said || fail "$(<said)"
    [[ ! -e dst ]]
    run -0 reflink-clone -q --steady src dst
    cmp src dst
  done
}

# ---- a copy that nobody asked for

@test "a copy that nobody asked for is named with its reason and size, once for all destinations" {
  on ext4
  head -c 2M /dev/urandom >src
  run --separate-stderr -0 reflink-clone src a b
  assert_only_copy_warning ext4 '4.0 MiB' "$stderr"
  run --separate-stderr -0 reflink-clone --json src c
  assert_only_copy_warning ext4 '2.0 MiB' "$stderr"
  assert_equal "$(records 'select(.type == "total") | [.refused, .refused_why]')" \
    '["EOPNOTSUPP","ext4 cannot share blocks"]'
  run --separate-stderr -0 reflink-clone --dry-run src d
  assert_contains "$stderr" '2.0 MiB would be copied'
  run --separate-stderr -0 reflink-clone -q src d
  assert_equal "$stderr" ''
  run --separate-stderr -0 reflink-clone --reflink=never src e
  assert_equal "$stderr" ''
  printf small >small
  run --separate-stderr -0 reflink-clone small f
  assert_equal "$stderr" ''
}

@test "a copy to another filesystem names that as the reason" {
  on xfs
  head -c 2M /dev/urandom >src
  local other=$BATS_FILE_TMPDIR/btrfs/$BATS_TEST_NUMBER.dst
  run --separate-stderr -0 reflink-clone src "$other"
  assert_contains "$stderr" 'warning: they are on different filesystems: 2.0 MiB are copied'
  rm "$other"
  run --separate-stderr -3 reflink-clone --reflink=always src "$other"
  assert_contains "$stderr" "to '$other': they are on different filesystems"
}
