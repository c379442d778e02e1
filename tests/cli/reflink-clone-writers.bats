#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone and a process that writes to the file: no write is lost or hidden.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

# ---- a clone

@test "a copy of a file with a writer is not reported as consistent" {
  local type
  for type in xfs ext4; do
    on "$type"
    make_disk src
    exec {writer}<>src
    run --separate-stderr -0 reflink-clone src dst
    exec {writer}>&-
    assert_contains "$stderr" "warning: 'src' is being written to; process $BASHPID ("
    if can_reflink "$type"; then
      assert_contains "$stderr" 'the clone has its contents at one instant'
    else
      assert_contains "$stderr" 'the copy may mix its contents at several instants'
      assert_contains "$stderr" '--steady'
    fi
  done
}

@test "--steady refuses a source that changes during the clone, and leaves no destination" {
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
    grep -q "cannot clone 'src': it changed during the clone" said || fail "$(<said)"
    [[ ! -e dst ]]
    run -0 reflink-clone -q --steady src dst
    cmp src dst
  done
}

@test "import refuses a disk that changes during the copy, and leaves no guest" {
  require_cmd strace
  on ext4
  export SNAPFORK_ROOT=$PWD/store SNAPFORK_PAGER=$PWD/run/p.sock
  mkdir store
  "$HELPERS/write-vmstate" state 10.0.0 1 drive=/vm/root.ext4
  truncate -s 1M memory
  head -c 2M /dev/urandom >root.ext4
  # shellcheck disable=SC2016 # expands there
  spawn bash -c 'while :; do dd if=/dev/urandom of=root.ext4 bs=4k count=1 conv=notrunc status=none; done'
  local began
  began=$(stat -c %y root.ext4)
  # shellcheck disable=SC2016 # expands there
  wait_until 20 bash -c '[[ $(stat -c %y root.ext4) != "$1" ]]' _ "$began"
  # Each piece of 128 KiB takes this long.
  run --separate-stderr -1 strace -f -qq -o /dev/null -e trace=pwrite64 -e inject=pwrite64:delay_exit=20000 \
    snapfork import base --state state --memory memory --disk root.ext4=/vm/root.ext4
  assert_contains "$stderr" "cannot clone 'root.ext4': it changed during the clone"
  assert_equal "$(ls -A store/guests store/.snapfork/tmp)" $'store/.snapfork/tmp:\n\nstore/guests:'
}

# ---- a copy instead of a reflink

@test "a copy instead of a reflink is reported with reason and size, once for all destinations" {
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

@test "a copy to another filesystem reports that reason" {
  on xfs
  head -c 2M /dev/urandom >src
  local other=$BATS_FILE_TMPDIR/btrfs/$BATS_TEST_NUMBER.dst
  run --separate-stderr -0 reflink-clone src "$other"
  assert_contains "$stderr" 'warning: they are on different filesystems: 2.0 MiB are copied'
  rm "$other"
  run --separate-stderr -3 reflink-clone --reflink=always src "$other"
  assert_contains "$stderr" "to '$other': they are on different filesystems"
}

# ---- in place

# A write while zeros become holes: the writer waits, and its data stays.
dig_during_a_write_on() { # <filesystem>
  require_cmd strace
  on "$1"
  { head -c 1M /dev/zero && printf x && head -c 3M /dev/zero; } >file
  local status=0
  stop_after fallocate 1 reflink-clone -q --dig file
  spawn bash -c 'printf PRECIOUS | dd of=file bs=1 seek=3000000 conv=notrunc status=none'
  wait_for_lease_break
  go_on || status=$?
  assert_equal "$status" 1
  grep -q "cannot dig holes into 'file': a process opens it" said || fail "$(<said)"
  wait "$spawned_pid"
  assert_equal "$(dd if=file bs=1 skip=3000000 count=8 status=none)" PRECIOUS
  reflink-clone -q --dig file
  assert_equal "$(dd if=file bs=1 skip=3000000 count=8 status=none)" PRECIOUS
}

@test "--dig on XFS: a concurrent write is not lost" { dig_during_a_write_on xfs; }
@test "--dig on btrfs: a concurrent write is not lost" { dig_during_a_write_on btrfs; }
@test "--dig on ext4: a concurrent write is not lost" { dig_during_a_write_on ext4; }
@test "--dig on tmpfs: a concurrent write is not lost" { dig_during_a_write_on tmpfs; }

# During and after the copy of the contents: the writer waits with the old inode open.
unshare_during_a_write_on() { # <filesystem>
  require_cmd strace
  on "$1"
  local call status old
  for call in futex linkat; do
    [[ $call != futex ]] || call=$(can_reflink "$1" && echo ioctl || echo pwrite64)
    rm -f file other
    head -c 2M /dev/urandom >file
    ln file other
    old=$(inode file)
    status=0
    stop_after "$call" 1 reflink-clone -q --unshare file
    spawn bash -c 'printf PRECIOUS | dd of=file bs=1 seek=100 conv=notrunc status=none'
    wait_for_lease_break
    go_on || status=$?
    assert_equal "$status" 1
    grep -q "cannot replace 'file': a process opens, changes or replaces it" said || fail "$(<said)"
    wait "$spawned_pid"
    assert_equal "$(dd if=file bs=1 skip=100 count=8 status=none) $(inode file)" "PRECIOUS $old"
    no_temporaries
  done
}

@test "--unshare on XFS: a concurrent write is not lost" { unshare_during_a_write_on xfs; }
@test "--unshare on btrfs: a concurrent write is not lost" { unshare_during_a_write_on btrfs; }
@test "--unshare on ext4: a concurrent write is not lost" { unshare_during_a_write_on ext4; }

@test "--unshare refuses a file that is open for writing, and names the process" {
  on xfs
  head -c 1M /dev/urandom >file
  ln file other
  exec {writer}<>other
  run --separate-stderr -1 reflink-clone --unshare file
  exec {writer}>&-
  assert_contains "$stderr" "'file': it is being written to; process $BASHPID ("
  assert_equal "$(inode file)" "$(inode other)"
}

@test "--unshare does not take the name of a file that replaced the one it read" {
  require_cmd strace
  on xfs
  head -c 2M /dev/urandom >file
  ln file other
  printf new >new
  local status=0
  stop_after linkat 1 reflink-clone -q --unshare file
  mv new file
  go_on || status=$?
  assert_equal "$status" 1
  assert_equal "$(<file)" new
  no_temporaries
}

# A reader, such as a page server, may have the file open; then the holes are dug into a new inode.
dig_during_a_read_on() { # <filesystem>
  on "$1"
  { head -c 1M /dev/zero && printf x && head -c 3M /dev/zero; } >file
  touch -d '2001-02-03 04:05:06.123456789' file
  chmod 0440 file
  cp file expected
  exec {reader}<file
  run --separate-stderr -0 reflink-clone --json --dig file
  assert_equal "$(records '[.new_inode, .bytes_dug > 4190000, .links]')" '[true,true,1]'
  cmp file expected
  cmp /dev/fd/$reader expected
  exec {reader}<&-
  assert_equal "$(stat -c '%a %y' file)" '440 2001-02-03 04:05:06.123456789 +0000'
  sync file
  (($(blocks file) <= 16)) || fail "$(blocks file) blocks"
  no_temporaries
}

@test "--dig on XFS of a file that is open for reading" { dig_during_a_read_on xfs; }
@test "--dig on ext4 of a file that is open for reading" { dig_during_a_read_on ext4; }

@test "--dig of a file that is open for reading and has no zeros keeps its inode" {
  on xfs
  head -c 1M /dev/urandom >file
  local old
  old=$(stat -c '%i %z' file)
  exec {reader}<file
  run --separate-stderr -0 reflink-clone --json --dig file
  exec {reader}<&-
  assert_equal "$(records '[.method, .new_inode, .bytes_dug]')" '["none",false,0]'
  reflink-clone -q --dig file
  assert_equal "$(stat -c '%i %z' file)" "$old"
}

@test "--unshare of an empty file gives it an inode of its own" {
  : >file
  ln file other
  run --separate-stderr -0 reflink-clone --json --unshare file
  assert_equal "$(records '[.new_inode, .links]')" '[true,2]'
  [[ $(inode file) != "$(inode other)" ]]
}

@test "SRC DST --dig keeps data of the clone if the source changes to zeros" {
  require_cmd strace
  local type
  for type in xfs btrfs; do
    on "$type"
    head -c 2M /dev/urandom >src
    cp src before
    sync src
    local status=0
    stop_after ioctl "$(number_of ioctl FICLONE reflink-clone -q src probe)" reflink-clone -q --dig src dst
    dd if=/dev/zero of=src bs=1M count=1 conv=notrunc status=none
    go_on || status=$?
    assert_equal "$status" 0
    cmp dst before
  done
}

@test "the report distinguishes a new inode from a kept one" {
  on xfs
  make_fragmented file 1200
  run -0 reflink-clone --dry-run --defrag file
  assert_contains "$output" 'would get a new inode by copy'
  run -0 reflink-clone --defrag file
  assert_contains "$output" 'got a new inode by copy'
  make_fragmented file 1200
  run -0 reflink-clone --json --defrag file
  assert_equal "$(records '[.method, .new_inode, .bytes_copied > 0, .defragged]')" '["copy",true,true,1200]'
  run -0 reflink-clone --json --dig file
  assert_equal "$(records '[.method, .new_inode]')" '["none",false]'
  run -0 reflink-clone --dry-run --dig file
  assert_contains "$output" 'would keep its inode'
}

# ---- a clone that shares less

@test "a FICLONE that reports success but shared nothing is an error, and leaves no destination" {
  require_cmd strace
  on xfs
  head -c 2M /dev/urandom >src
  mkdir tree
  cp src tree/disk
  local n words
  for words in 'src' '--verify src' '--profile vm tree'; do
    # shellcheck disable=SC2086 # words
    n=$(number_of ioctl FICLONE reflink-clone -q $words probe)
    rm -r probe
    # shellcheck disable=SC2086 # words
    run --separate-stderr -5 strace -qq -o /dev/null -e inject=ioctl:retval=0:when="$n" reflink-clone -q $words dst
    assert_contains "$stderr" 'the filesystem reports success, but the clone has only 0 of 2097152 bytes'
    [[ ! -e dst ]]
    no_temporaries
  done
}

@test "a file that reports length 0 but has contents is copied up to its end" {
  on xfs
  run -0 reflink-clone --json /proc/filesystems dst
  cmp /proc/filesystems dst
  assert_equal "$(records 'select(.type == "file") | [.method, .size_bytes, .bytes_copied]')" \
    "[\"copy\",$(stat -c '%s,%s' dst)]"
  run --separate-stderr -3 reflink-clone --reflink=always /proc/filesystems dst2
  assert_contains "$stderr" 'reports no length'
  [[ ! -e dst2 ]]
}
