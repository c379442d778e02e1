#!/usr/bin/env bats
# reflink-clone: what a clone keeps and shares on each filesystem, and what is refused.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

setup_file() {
  load helpers
  load ../mounts
  load reflink-clone_helpers
  mount_each
}

teardown_file() {
  unmount_all
}

setup() {
  common_setup
}

teardown() {
  common_teardown
  unmount_all # what the test itself mounted
}

# ---- what every program does, and the command line

@test "the standard cases" {
  standard_cases reflink-clone
}

@test "a wrong command line is a usage error and does nothing" {
  printf text >src
  local words
  for words in '' src '--reflink=maybe src dst' '--memory=link src dst' '--profile vm --memory=x src dst' \
    '--max-extents 0 src dst' '--probe . src' --unshare '--unshare --profile vm src' \
    '--dig --exclude x src' 'src /' 'src ..' 'src ./.'; do
    # shellcheck disable=SC2086 # words are words
    run --separate-stderr -2 reflink-clone $words
    assert_equal "$output" ''
    assert_contains "$stderr" 'reflink-clone: '
  done
  [[ $(ls -I 'separate-stderr-*') == $'root\nsrc' ]] || fail "made something: $(ls)"
}

@test "a closed or full standard output does not hurt the clone" {
  printf text >src
  check_closed_streams reflink-clone absent dst
  run -5 bash -c 'reflink-clone src dst >/dev/full'
  cmp src dst
  bash -c 'reflink-clone src dst2 >&- 2>&-'
  cmp src dst2
}

# ---- files

clone_a_file_on() { # <filesystem>
  on "$1"
  make_disk src
  chmod 0604 src
  touch -d '2001-02-03 04:05:06.123456789' src
  run --separate-stderr -0 reflink-clone --json src dst
  assert_equal "$stderr" ''
  cmp src dst
  assert_equal "$(stat -c '%a %Y %y' dst)" "$(stat -c '%a %Y %y' src)"
  (($(blocks dst) <= $(blocks src))) || fail "holes are filled: $(blocks src) $(blocks dst)"
  local hole
  hole=$((9437185 - 3 * 1048576))
  if can_reflink "$1"; then
    assert_equal "$(records 'select(.type == "file") | [.path, .method, .refused, .bytes_shared, .bytes_copied, .bytes_hole]')" \
      "[\"dst\",\"reflink\",null,3145728,0,$hole]"
    (($(shared_extents dst) == 2)) || fail "$(filefrag -v dst)"
    (($(own_extents dst) == 0))
  else
    assert_equal "$(records 'select(.type == "file") | [.path, .method, .refused, .bytes_shared, .bytes_copied, .bytes_hole]')" \
      "[\"dst\",\"copy\",\"EOPNOTSUPP\",0,3145728,$hole]"
  fi
  no_temporaries
}

@test "a file on XFS: shared, sparse, with its mode and times" { clone_a_file_on xfs; }
@test "a file on btrfs: shared, sparse, with its mode and times" { clone_a_file_on btrfs; }
@test "a file on ext4: copied, sparse, with its mode and times" { clone_a_file_on ext4; }
@test "a file on tmpfs: copied, sparse, with its mode and times" { clone_a_file_on tmpfs; }

@test "several destinations: the first failure is the status, the others are made" {
  printf text >src
  printf mine >b
  run --separate-stderr -1 reflink-clone --json src a b absent/c d
  assert_contains "$stderr" "'b': it already exists"
  assert_contains "$stderr" "'absent'"
  assert_equal "$(records 'select(.type == "total") | .dst')" $'"a"\n"d"'
  assert_equal "$(records 'select(.type == "error") | .exit_code')" $'1\n5'
  cmp src a
  cmp src d
  assert_equal "$(<b)" mine
}

@test "an existing destination is refused, whatever it is" {
  printf text >src
  mkdir tree directory
  printf mine >file
  ln -s nowhere dangling
  local dst
  for dst in file directory dangling src tree; do
    run --separate-stderr -1 reflink-clone src "$dst"
    assert_contains "$stderr" "'$dst': it already exists"
    run --separate-stderr -1 reflink-clone tree "$dst"
    assert_contains "$stderr" "'$dst': it already exists"
  done
  assert_equal "$(<file)" mine
  assert_equal "$(readlink dangling)" nowhere
  no_temporaries
}

@test "--reflink=always: what cannot be shared is unsupported, and nothing is made" {
  on ext4
  make_guest guest
  run --separate-stderr -3 reflink-clone --reflink=always guest/overlay.raw dst
  assert_contains "$stderr" 'Operation not supported'
  run --separate-stderr -3 reflink-clone --reflink=always guest dst
  [[ $(ls -A) == guest ]]
}

@test "another filesystem: copied, or refused with --reflink=always" {
  on btrfs
  local there=$PWD
  on xfs
  make_disk src
  run -3 reflink-clone --reflink=always src "$there/dst"
  assert_contains "$output" 'different filesystems'
  run -0 reflink-clone --json src "$there/dst"
  assert_equal "$(records 'select(.type == "file") | .refused')" '"EXDEV"'
  cmp src "$there/dst"
  (($(blocks "$there/dst") <= $(blocks src)))
}

@test "--reflink=never shares nothing" {
  on xfs
  make_disk src
  run -0 reflink-clone --json --reflink=never src dst
  assert_equal "$(records 'select(.type == "file") | [.method, .refused]')" '["copy",null]'
  cmp src dst
  sync dst
  (($(shared_extents dst) == 0))
  (($(blocks dst) <= $(blocks src)))
}

@test "a symlink as SRC is followed" {
  printf text >file
  ln -s file src
  reflink-clone -q src dst
  [[ -f dst && ! -L dst ]]
  cmp dst file
}

@test "-q prints nothing, else each file over 1 MiB and a total" {
  mkdir guest
  make_disk guest/disk
  printf small >guest/small
  run --separate-stderr -0 reflink-clone guest dst
  assert_equal "${#lines[@]}" 2
  [[ ${lines[0]} == "'dst/disk': "* && ${lines[1]} == "'dst': 2 files, "* ]] || fail 'lines'
  run -0 reflink-clone -q guest dst2
  assert_equal "$output" ''
}

# ---- trees

clone_a_tree_on() { # <filesystem>
  on "$1"
  make_guest guest
  umask 077
  run --separate-stderr -0 reflink-clone --json guest dst
  umask 022
  assert_equal "$stderr" ''
  assert_same_tree guest dst
  (($(blocks dst/overlay.raw) <= $(blocks guest/overlay.raw)))
  [[ dst/overlay.raw -ef dst/empty/the-same-disk ]]
  local method=copy
  can_reflink "$1" && method=reflink
  assert_equal "$(records 'select(.type == "total") | [.method, .files, .directories, .symlinks, .skipped]')" \
    "[\"$method\",9,5,2,0]"
  assert_equal "$(records 'select(.path == "dst/overlay.raw") | .method')" '"hardlink"'
  assert_equal "$(records 'select(.path_b64) | .method' | wc -l)" 1
  if can_reflink "$1"; then
    (($(own_extents dst/snapshots/snapshot-latest/memory) == 0))
  fi
  no_temporaries
}

@test "a tree on XFS keeps everything" { clone_a_tree_on xfs; }
@test "a tree on btrfs keeps everything" { clone_a_tree_on btrfs; }
@test "a tree on ext4 keeps everything" { clone_a_tree_on ext4; }
@test "a tree on tmpfs keeps everything" { clone_a_tree_on tmpfs; }

@test "a default ACL of the destination's parent is not inherited" {
  on xfs
  require_cmd setfacl
  make_guest guest
  mkdir parent
  setfacl -d -m u:4321:rwx parent
  reflink-clone -q guest parent/dst
  reflink-clone -q guest/metadata.json parent/file
  assert_same_tree guest parent/dst
  assert_equal "$(getfacl -n -c parent/file)" "$(getfacl -n -c guest/metadata.json)"
}

@test "attributes that the destination cannot take are named" {
  on ext4
  mkdir ramfs tree
  mount -t ramfs ramfs ramfs || skip 'needs ramfs'
  mounted_dirs+=("$PWD/ramfs")
  printf text >tree/file
  setfattr -n user.colour -v green tree/file
  setfattr -n user.taste -v sweet tree
  run --separate-stderr -0 reflink-clone tree ramfs/dst
  assert_contains "$stderr" "2 not kept, the first is user.colour of 'ramfs/dst/file'"
  cmp tree/file ramfs/dst/file
}

@test "somebody else's set-id program does not become mine" {
  on xfs
  require_cmd setpriv
  mkdir tree mine
  printf text >tree/program
  chmod 6755 tree/program
  chown 1234:5678 tree/program
  chown 65534:65534 mine
  printf text >tree/read-only
  setfattr -n user.colour -v green tree/read-only
  chmod 0444 tree/read-only
  setpriv --reuid=65534 --regid=65534 --clear-groups "$(type -P reflink-clone)" -q tree mine/dst
  assert_equal "$(stat -c '%u %g %a' mine/dst/program)" '65534 65534 755'
  assert_equal "$(stat -c '%a' mine/dst/read-only)" 444
  assert_equal "$(getfattr --only-values -n user.colour mine/dst/read-only)" green
}

@test "deep and wide trees" {
  on xfs
  local i
  mkdir -p tree/wide
  (cd tree/wide && seq 5000 | xargs touch)
  # Longer than PATH_MAX all together, with a hard link at the bottom.
  (
    cd tree
    for ((i = 0; i < 500; i++)); do
      mkdir level-of-a-deep-tree && cd level-of-a-deep-tree || exit 1
    done
    printf deep >file && ln file same
  )
  (
    ulimit -Sn 256 # raised by the program itself
    reflink-clone -q tree dst
  )
  assert_equal "$(find dst | wc -l)" "$(find tree | wc -l)"
  (
    for ((i = 0; i < 500; i++)); do cd dst/level-of-a-deep-tree 2>/dev/null || cd level-of-a-deep-tree; done
    [[ $(<file) == deep && file -ef same ]]
  )
  rm -rf tree dst
}

@test "--profile vm leaves out what is the VMM's own" {
  make_guest guest
  mkdir guest/{logs,template,uffd} guest/snapshots/snapshot-base guest/kept.sock guest/kept.zst.tmp guest/odd/logs
  printf x | tee guest/{fc.sock,memory.lz4.tmp,memory.zst.tmp,.disk.snapfork-tmp} guest/logs/vmm.log \
    guest/kept.sock/x guest/odd/logs/x guest/template/x guest/uffd/x guest/snapshots/snapshot-base/memory >guest/odd/a.sock
  python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("guest/vsock")'
  run -0 reflink-clone --json --profile vm guest dst
  assert_equal "$(records 'select(.type == "total") | .skipped')" 10
  assert_equal "$(cd dst && find . | LC_ALL=C sort)" "$(cd guest && find . \( -path ./logs -o -path ./template \
    -o -path ./uffd -o -path ./snapshots/snapshot-base -o -name vsock -o -name '*.lz4.tmp' -o -name '.*.snapfork-tmp' \
    -o -type f -name '*.sock' -o -type f -name '*.zst.tmp' \) -prune -o -print | LC_ALL=C sort)"
  [[ -e dst/kept.sock/x && -d dst/kept.zst.tmp && -e dst/odd/logs/x ]]
  # Without the profile only the socket is left out.
  run -0 reflink-clone --json guest plain
  assert_equal "$(records 'select(.type == "total") | .skipped')" 1
  diff -r --no-dereference guest plain | grep -v 'vsock' && fail 'something is missing'
  true
}

@test "--exclude: names at any depth, paths from the source" {
  mkdir -p tree/a/b tree/c
  touch tree/x.log tree/a/x.log tree/a/b/y tree/c/y
  mkfifo tree/c/fifo
  run -0 reflink-clone -q --exclude '*.log' --exclude a/b --exclude '/c/f*' tree dst
  assert_equal "$(cd dst && find . | sort)" $'.\n./a\n./c\n./c/y'
}

@test "--memory: linked when sealed, reflinked, copied" {
  on xfs
  make_guest guest
  local memory=snapshots/snapshot-latest/memory
  run --separate-stderr -1 reflink-clone --profile vm --memory=link guest dst
  assert_contains "$stderr" "'guest/$memory': it is not sealed"
  [[ $(ls -A) == guest ]]
  chmod 0444 guest/$memory
  local before
  before=$(stat -c '%y %a' guest/$memory)
  run -0 reflink-clone --json --profile vm --memory=link guest a b
  [[ a/$memory -ef guest/$memory && b/$memory -ef guest/$memory ]] || fail 'not one inode'
  assert_equal "$(stat -c '%h %y %a' guest/$memory)" "3 $before"
  assert_equal "$(records 'select(.type == "total") | [.method, .bytes_linked, .bytes_copied]' | uniq)" \
    '["reflink",2097152,0]'
  run -0 reflink-clone --json --profile vm --memory=reflink guest c
  [[ ! c/$memory -ef guest/$memory ]]
  cmp c/$memory guest/$memory
  run -0 reflink-clone --json --profile vm --memory=copy guest d
  assert_equal "$(records 'select(.type == "total") | [.method, .bytes_copied]')" '["mixed",2097152]'
  cmp d/$memory guest/$memory
  sync d/$memory
  (($(shared_extents d/$memory) == 0))
}

@test "--memory=link to another filesystem is unsupported, and nothing is made" {
  on btrfs
  local there=$PWD
  on xfs
  make_guest guest
  chmod 0444 guest/snapshots/snapshot-latest/memory
  run --separate-stderr -3 reflink-clone --profile vm --memory=link guest "$there/dst"
  assert_contains "$stderr" '--memory=reflink'
  [[ -z $(ls -A "$there") ]]
}

# ---- in place

unshare_on() { # <filesystem>
  on "$1"
  make_disk memory
  touch -d '2001-02-03 04:05:06.123456789' memory
  chown 1234:5678 memory
  chmod 0444 memory
  cp memory expected
  ln memory other
  local old
  old=$(inode other)
  run -0 reflink-clone --json --unshare memory
  assert_equal "$(records '[.type, .links, .method]')" \
    "$(can_reflink "$1" && echo '["in_place",2,"reflink"]' || echo '["in_place",2,"copy"]')"
  assert_equal "$(inode other)" "$old"
  [[ $(inode memory) != "$old" ]] || fail 'still one inode'
  assert_equal "$(stat -c '%a %u %g %h %y' memory)" '644 1234 5678 1 2001-02-03 04:05:06.123456789 +0000'
  assert_equal "$(stat -c '%a %h' other)" '444 1'
  cmp memory expected
  (($(blocks memory) <= $(blocks other)))
  old=$(inode memory)
  run -0 reflink-clone --unshare memory
  assert_contains "$output" 'no other link'
  assert_equal "$(inode memory)" "$old"
  no_temporaries
}

@test "--unshare on XFS: an inode of its own, writable" { unshare_on xfs; }
@test "--unshare on ext4: an inode of its own, writable" { unshare_on ext4; }

dig_on() { # <filesystem>
  on "$1"
  {
    head -c 1500000 /dev/zero
    printf x
    head -c 1645727 /dev/zero
    printf yy
  } >file
  touch -d '2001-02-03 04:05:06.123456789' file
  cp file expected
  sync file
  local dug=$((3 * 1048576 - 4096))
  run -0 reflink-clone --json --dig file clone
  assert_equal "$(records 'select(.type == "file") | [.bytes_dug, .bytes_shared + .bytes_copied]')" "[$dug,4098]"
  run -0 reflink-clone --json --dig file
  assert_equal "$(records '[.type, .method, .bytes_dug]')" "[\"in_place\",\"none\",$dug]"
  local name
  for name in file clone; do
    cmp $name expected
    sync $name
    assert_equal "$(stat -c '%y' $name)" '2001-02-03 04:05:06.123456789 +0000'
    # Two blocks of 4 KiB; this ext4 has smaller ones.
    (($(blocks $name) <= 16)) || fail "$name takes $(blocks $name) blocks"
  done
}

@test "--dig on XFS: zeros become holes, in place and in a clone" { dig_on xfs; }
@test "--dig on btrfs: zeros become holes, in place and in a clone" { dig_on btrfs; }
@test "--dig on ext4: zeros become holes, in place and in a clone" { dig_on ext4; }
@test "--dig on tmpfs: zeros become holes, in place and in a clone" { dig_on tmpfs; }

@test "--dig never writes into an inode with several links" {
  head -c 1M /dev/zero >file
  ln file other
  run --separate-stderr -1 reflink-clone --dig file
  assert_contains "$stderr" 'add --unshare'
  (($(blocks file) >= 2048))
  run -0 reflink-clone -q --unshare --dig file
  (($(blocks file) == 0))
  (($(blocks other) >= 2048))
  cmp file other
}

@test "--unshare and --dig: what is no regular file is bad data" {
  printf x >file
  ln -s file link
  mkdir directory
  local name
  for name in link directory /dev/null; do
    run --separate-stderr -4 reflink-clone --unshare "$name"
    assert_contains "$stderr" "'$name'"
    run -4 reflink-clone --dig "$name"
  done
  run -5 reflink-clone --unshare absent
}

# ---- other options

@test "--max-extents refuses a fragmented source, and says what it would cost" {
  on xfs
  python3 -c 'with open("src", "wb") as f:
    f.truncate(40 * 65536)
    for i in range(40): f.seek(i * 65536); f.write(b"x")'
  run --separate-stderr -1 reflink-clone --max-extents 39 src dst
  assert_contains "$stderr" "'src': it has 40 extents, more than 39"
  [[ ! -e dst ]]
  run -0 reflink-clone --json --max-extents 40 src dst
  assert_equal "$(records 'select(.type == "file") | .extents')" 40
  cmp src dst
}

@test "--durable flushes before the name appears, and the directory after" {
  on xfs
  make_guest guest
  local calls
  strace -f -qq -o file.trace -e trace=fsync,linkat reflink-clone -q --durable guest/overlay.raw dst
  calls=$(sed -E 's/^[0-9]+ +([a-z0-9]+)\(.*/\1/' file.trace | uniq -c | awk '{print $1 $2}' | paste -sd ' ')
  assert_equal "$calls" '1fsync 1linkat 1fsync'
  strace -f -qq -o tree.trace -e trace=fsync,renameat2 reflink-clone -q --durable guest dst-tree
  calls=$(sed -E 's/^[0-9]+ +([a-z0-9]+)\(.*/\1/' tree.trace | uniq -c | awk '{print $1 $2}' | paste -sd ' ')
  # 9 names of files and 5 directories.
  assert_equal "$calls" '14fsync 1renameat2 1fsync'
  strace -f -qq -o none.trace -e trace=fsync,fdatasync,syncfs reflink-clone -q guest dst-lazy
  [[ ! -s none.trace ]]
}

@test "--dry-run says what would be done and changes nothing" {
  on xfs
  make_guest guest
  run -0 reflink-clone --json --dry-run guest dst
  assert_equal "$(records 'select(.type == "total") | [.dry_run, .method, .files, .bytes_copied]')" '[true,"reflink",9,0]'
  run -0 reflink-clone --dry-run guest dst
  assert_contains "$output" "'dst': would be made: 9 files"
  run -1 reflink-clone --dry-run --profile vm --memory=link guest dst
  ln guest/metadata.json other
  run -0 reflink-clone --dry-run --unshare --dig guest/metadata.json
  assert_equal "$(stat -c %h other)" 2
  mkfifo guest/fifo
  run -4 reflink-clone --dry-run guest dst
  assert_equal "$(ls -A)" $'guest\nother'
  on ext4
  make_disk src
  run -3 reflink-clone --dry-run --reflink=always src dst
  run -0 reflink-clone --json --dry-run src dst
  assert_equal "$(records 'select(.type == "file") | [.method, .refused]')" '["copy","EOPNOTSUPP"]'
  assert_equal "$(ls -A)" src
}

@test "--probe names the filesystem and really tries" {
  local type reflink
  for type in xfs btrfs ext4 tmpfs; do
    on "$type"
    : >file
    reflink=false
    can_reflink "$type" && reflink=true
    run -0 reflink-clone --json --probe file
    assert_equal "$(records '[.type, .v, .path, .fs_type, .mount_point, .reflink]')" \
      "[\"probe\",1,\"file\",\"$type\",\"$BATS_FILE_TMPDIR/$type\",$reflink]"
    (($(records .free_bytes) > 1000000))
    if [[ $type != tmpfs ]]; then
      assert_equal "$(records .uuid)" "\"$(blkid -o value -s UUID "$BATS_FILE_TMPDIR/$type.img")\""
      [[ $(records .source) == \"/dev/loop* ]]
    fi
    assert_equal "$(ls -A)" file
  done
  run -5 reflink-clone --probe absent
  run -0 reflink-clone --probe /proc
  assert_contains "$output" 'fs_type: proc'
}

@test "the libraries of --probe are not loaded by a clone" {
  run -0 ldd "$(type -P reflink-clone)"
  refute_contains "$output" libmount
  refute_contains "$output" libblkid
}

@test "a long copy shows its progress on a terminal, and nowhere else" {
  require_cmd script strace
  on tmpfs
  head -c 3M /dev/urandom >src
  # Each piece of 1 MiB takes this long.
  local slow='strace -qq -o /dev/null -e trace=copy_file_range -e inject=copy_file_range:delay_enter=600000'
  run -0 script -qec "$slow reflink-clone src dst" /dev/null
  [[ $output =~ \'dst\':\ [0-9]+%,\ .*\ of\ 3\.0\ MiB ]] || fail 'no progress'
  $slow reflink-clone src dst2 >out 2>err
  [[ ! -s err ]] || fail "$(<err)"
}

# ---- what is refused

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

@test "a source without permission is named" {
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
  ln -s tree/sub way
  run -2 reflink-clone tree way/dst
  run --separate-stderr -5 reflink-clone src absent/dst
  assert_contains "$stderr" "'absent'"
  run --separate-stderr -5 reflink-clone src "$(printf 'n%.0s' {1..256})"
  assert_contains "$stderr" 'File name too long'
  # The longest name that there may be works, although the temporary one needs more.
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

@test "a full filesystem: said before the first byte, nothing left" {
  mount_fs tmpfs "$BATS_TEST_TMPDIR/small" 4
  head -c 3M /dev/urandom >src
  mkdir tree
  cp src tree/a
  cp src tree/b
  reflink-clone -q src small/first
  run --separate-stderr strace -f -qq -o trace -e trace=copy_file_range,pwrite64 reflink-clone src small/second
  assert_equal "$status" 5
  assert_contains "$stderr" 'it needs 3.0 MiB'
  assert_contains "$stderr" 'No space left on device'
  [[ ! -s trace ]] || fail 'it began to write'
  rm small/first
  # The first file of the tree fits, the second does not.
  run --separate-stderr -5 reflink-clone tree small/tree
  [[ -z $(ls -A small) ]] || fail "left: $(ls -A small)"
}

@test "the file size limit is a clear error and not a death" {
  head -c 2M /dev/urandom >src
  run --separate-stderr -5 bash -c 'ulimit -f 1024; reflink-clone src dst'
  assert_contains "$stderr" 'File too large'
  [[ ! -e dst ]]
}

@test "FICLONE's errno decides: an answer leads to a copy, an error ends the clone" {
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

@test "two clones to one destination: one wins, the other says so" {
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
