#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone: sources and destinations that change, are full, in use, not permitted or very large.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

# ---- sources that change

@test "an entry that is removed during the walk ends the clone, and nothing is left" {
  require_cmd strace
  on xfs
  local kind status
  for kind in file directory link; do
    rm -rf tree
    mkdir -p tree/directory
    printf x | tee tree/file >tree/directory/x
    ln -s somewhere tree/link
    # All names of the tree have been read. (A pending signal ends the first call early.)
    stop_after getdents64 2 reflink-clone tree dst
    rm -r "tree/$kind"
    status=0
    go_on || status=$?
    assert_equal "$status" 1
    grep -q "cannot clone 'tree/$kind': it was removed during the clone" said || fail "$(<said)"
    assert_equal "$(ls -A)" $'said\ntrace\ntree'
  done
}

@test "a symlink that replaces an entry during the walk is not followed" {
  require_cmd strace
  on ext4
  mkdir secret
  printf secret | tee secret/x >secret/file
  local kind status
  for kind in file directory; do
    rm -rf tree
    mkdir -p tree/directory
    printf x | tee tree/file >tree/directory/x
    stop_after getdents64 2 reflink-clone tree dst
    rm -r "tree/$kind"
    ln -s "$PWD/secret" "tree/$kind"
    [[ $kind == directory ]] || ln -sfT "$PWD/secret/file" "tree/$kind"
    status=0
    go_on || status=$?
    assert_equal "$status" 1
    grep -q "cannot clone 'tree/$kind': it was removed during the clone" said || fail "$(<said)"
    [[ ! -e dst ]]
    no_temporaries
  done
}

@test "a source that becomes shorter while it is copied is refused" {
  require_cmd strace
  on ext4
  head -c 5M /dev/urandom >src
  stop_after pwrite64 1 reflink-clone src dst
  truncate -s 1500K src
  local status=0
  go_on || status=$?
  assert_equal "$status" 1
  grep -q "cannot read 'src': the file was truncated while it was read" said || fail "$(<said)"
  [[ ! -e dst ]]
  no_temporaries
}

@test "a source that grows is cloned with the size that it had at one instant; --profile vm refuses it" {
  require_cmd strace
  local type status
  for type in xfs ext4; do
    on "$type"
    mkdir tree
    head -c 2M /dev/urandom >tree/disk
    cp tree/disk before
    local call=pwrite64
    can_reflink "$type" && call=ioctl
    # At the first ioctl nothing is shared yet; at the first pwrite64 almost nothing is copied.
    stop_after "$call" 1 reflink-clone --progress=never --json tree/disk dst
    printf more >>tree/disk
    go_on
    if can_reflink "$type"; then
      cmp dst tree/disk
      assert_equal "$(jq -c 'select(.type == "file") | .size_bytes' said)" 2097156
    else
      cmp dst before
    fi
    stop_after "$call" 1 reflink-clone --progress=never --profile vm tree dst-tree
    exec {writer}>>tree/disk
    printf more >&"$writer"
    status=0
    go_on || status=$?
    exec {writer}>&-
    assert_equal "$status" 1
    grep -q "cannot clone 'tree/disk': it changed during the clone; process $BASHPID (" said \
      || fail "$(<said)"
    [[ ! -e dst-tree ]]
  done
}

@test "a running program and an unlinked one can be cloned" {
  local type
  for type in xfs ext4; do
    on "$type"
    cp "$(type -P sleep)" program
    spawn ./program 1000
    wait_until 10 runs_as "$spawned_pid" program
    reflink-clone -q program dst
    cmp program dst
    [[ -x dst ]]
    exec {open}<program
    rm program
    reflink-clone -q "/proc/self/fd/$open" dst2
    cmp dst dst2
    exec {open}<&-
  done
}

# ---- refusals of the kernel

@test "an active swap file is refused or copied, depending on the filesystem" {
  require_cmd mkswap swapon
  local type
  for type in xfs btrfs; do
    on "$type"
    : >swap
    chmod 0600 swap
    [[ $type == xfs ]] || chattr +C swap
    dd if=/dev/zero of=swap bs=1M count=4 status=none
    mkswap -q swap
    sync swap
    swapon swap 2>/dev/null || skip 'cannot swapon'
    run --separate-stderr reflink-clone --json swap dst
    swapoff swap
    if [[ $type == xfs ]]; then
      assert_equal "$status" 5
      assert_contains "$stderr" 'swapoff first'
      [[ ! -e dst ]]
    else
      assert_equal "$status $(records 'select(.type == "file") | [.method, .refused]')" '0 ["copy","EINVAL"]'
      cmp swap dst
    fi
  done
}

@test "an exhausted quota is reported" {
  require_cmd btrfs
  mount_fs btrfs "$BATS_TEST_TMPDIR/fs"
  cd fs || return 1
  btrfs -q subvolume create limited
  btrfs -q quota enable . || skip 'no quota'
  btrfs -q qgroup limit 1M limited
  head -c 8M /dev/urandom >src
  run --separate-stderr -5 reflink-clone --reflink=never src limited/dst
  assert_contains "$stderr" 'Disk quota exceeded; the disk quota of the destination is exhausted'
  mkdir tree
  ln src tree/disk
  run --separate-stderr -5 reflink-clone --reflink=never tree limited/dst
  assert_contains "$stderr" 'the disk quota of the destination is exhausted'
  [[ -z $(ls -A limited) ]] || fail "left: $(ls -A limited)"
}

@test "a full filesystem: nothing is left of a clone" {
  local type
  for type in xfs btrfs; do
    mount_fs "$type" "$BATS_TEST_TMPDIR/$type"
    head -c 8M /dev/urandom >"$type/src"
    truncate -s 300M "$type/sparse"
    head -c 500M /dev/zero >"$type/filler" 2>/dev/null || true
    sync -f "$type"
    run --separate-stderr -5 reflink-clone --reflink=never "$type/src" "$type/dst"
    assert_contains "$stderr" 'No space left on device'
    # Holes need no space.
    reflink-clone -q --reflink=never "$type/sparse" "$type/dst" || true
    rm -f "$type/dst"
    assert_equal "$(ls -A "$type")" $'filler\nsparse\nsrc'
  done
}

@test "directories without search permission are cloned by root and reported to others" {
  on xfs
  require_cmd setpriv
  mkdir -p tree/locked tree/open mine
  printf x | tee tree/locked/x >tree/open/x
  chmod 0000 tree/locked
  reflink-clone -q tree dst
  assert_same_tree tree dst
  chmod 0644 tree/locked
  chown -R 65534:65534 tree mine
  run --separate-stderr -5 setpriv --reuid=65534 --regid=65534 --clear-groups "$(type -P reflink-clone)" tree mine/dst
  assert_contains "$stderr" "'tree/locked/x': Permission denied"
  [[ -z $(ls -A mine) ]]
}

@test "immutable and append-only flags are reported and not cloned" {
  local type
  for type in xfs btrfs ext4; do
    on "$type"
    mkdir tree
    printf x | tee tree/fixed >tree/log
    chattr +i tree/fixed
    chattr +a tree/log
    run --separate-stderr -0 reflink-clone tree dst
    chattr -i tree/fixed
    chattr -a tree/log
    assert_contains "$stderr" "flags are not cloned: 2 not set, the first is that of 'dst/fixed'"
    diff -r tree dst
    printf more >>dst/fixed
    rm -r dst
  done
}

@test "100,000 entries in one directory, and names of all bytes" {
  on tmpfs
  mkdir tree
  python3 - <<'PYTHON'
import os
for i in range(100000): os.close(os.open(b"tree/%d" % i, os.O_CREAT | os.O_WRONLY))
for byte in set(range(1, 256)) - {ord("/")}: os.symlink(b"x", b"tree/name-" + bytes([byte]))
PYTHON
  run -0 reflink-clone tree dst
  assert_contains "$output" "'dst': 100000 files"
  cmp <(find tree -mindepth 1 -printf '%P\0' | sort -z) <(find dst -mindepth 1 -printf '%P\0' | sort -z)
  rm -rf tree dst
}

@test "SIGTERM during a clone leaves no destination, and the next run removes the leftover" {
  require_cmd strace
  on ext4
  mkdir tree
  head -c 3M /dev/urandom >tree/disk
  local src status
  for src in tree tree/disk; do
    stop_after pwrite64 1 reflink-clone -q "$src" dst
    kill -TERM "$program"
    status=0
    go_on || status=$?
    assert_equal "$status" 143
    [[ ! -e dst ]]
    reflink-clone -q "$src" dst
    diff -r "$src" dst
    rm -r dst
    no_temporaries
  done
}

@test "--jobs works without threads if none can be started" {
  require_cmd strace
  on ext4
  make_guest guest
  head -c 80M /dev/urandom >guest/large
  run --separate-stderr -0 strace -f -qq -o /dev/null -e inject=clone3,clone:error=EAGAIN \
    reflink-clone -q --jobs 4 --verify guest dst
  assert_equal "$stderr" ''
  assert_same_tree guest dst
}

@test "an attribute that is removed after it was listed is not set on the clone" {
  require_cmd strace
  on xfs
  printf x >src
  setfattr -n user.colour -v green src
  local n
  n=$(number_of fgetxattr user.colour reflink-clone -q src probe)
  run --separate-stderr -0 strace -qq -o /dev/null -e inject=fgetxattr:error=ENODATA:when="$n" reflink-clone -q src dst
  assert_equal "$stderr$(getfattr -d dst)" ''
  run --separate-stderr -0 strace -qq -o /dev/null -e inject=fgetxattr:error=EOPNOTSUPP:when="$n" reflink-clone src dst2
  assert_contains "$stderr" "1 not copied, the first is user.colour of 'dst2'"
}

@test "EMLINK is reported with advice" {
  require_cmd strace
  on ext4
  make_guest guest
  chmod 0444 guest/snapshots/snapshot-latest/memory
  run --separate-stderr -5 strace -qq -o /dev/null -e inject=linkat:error=EMLINK:when=1 \
    reflink-clone --profile vm --memory=link --exclude the-same-disk guest dst
  assert_contains "$stderr" 'Too many links; the filesystem allows no more links to one file (ext4: 65000): fork a second template made of the same snapshot, or use reflink-clone --memory=reflink'
  [[ ! -e dst ]]
}

@test "EXDEV is explained: mount points, subvolumes, filesystems" {
  local type
  for type in btrfs xfs; do
    on "$type"
    make_guest guest
    chmod 0444 guest/snapshots/snapshot-latest/memory
    mkdir mounted elsewhere
    mount --bind elsewhere mounted
    run --separate-stderr reflink-clone --profile vm --memory=link guest mounted/dst
    umount mounted
    assert_equal "$status" 3
    assert_contains "$stderr" 'they are on one filesystem, but under different mount points; put both on one mount, or use --memory=reflink'
    if [[ $type == btrfs ]]; then
      btrfs -q subvolume create volume
      run --separate-stderr -3 reflink-clone --profile vm --memory=link guest volume/dst
      assert_contains "$stderr" 'they are in different subvolumes'
    fi
  done
}

@test "a link to memory of another user names fs.protected_hardlinks" {
  require_cmd strace
  on xfs
  make_guest guest
  chmod 0444 guest/snapshots/snapshot-latest/memory
  run --separate-stderr -5 strace -qq -o /dev/null -e inject=linkat:error=EPERM:when=1 \
    reflink-clone --profile vm --memory=link --exclude the-same-disk guest dst
  assert_contains "$stderr" 'protected_hardlinks'
}

@test "--clean reports files that it may not remove" {
  on ext4
  mkdir dir
  : >dir/.x.snapfork-tmp
  chattr +i dir/.x.snapfork-tmp || skip 'the filesystem has no immutable files'
  run --separate-stderr reflink-clone --clean dir
  chattr -i dir/.x.snapfork-tmp
  assert_equal "$status" 5
  assert_contains "$stderr" "cannot remove 'dir/.x.snapfork-tmp': Operation not permitted"
}
