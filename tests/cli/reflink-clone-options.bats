#!/usr/bin/env bats
# reflink-clone: replacing, verifying, rewriting, telling; what of it is true is asked of the kernel.
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
  unmount_all
}

# N blocks of data with holes between them: as many extents.
make_fragmented() { # <file> <extents>
  python3 - "$@" <<'PYTHON'
import os, sys
with open(sys.argv[1], "wb") as f:
    f.truncate(int(sys.argv[2]) * 8192)
    for i in range(int(sys.argv[2])):
        f.seek(i * 8192)
        f.write(b"%d" % i)
    f.flush()
    os.fsync(f.fileno())
PYTHON
}

extents() { filefrag -v "$1" | grep -cE '^ *[0-9]+:' || true; }

# ---- --replace

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
  # One kind instead of another.
  reflink-clone -q --replace src old
  assert_equal "$(<old)" new
  reflink-clone -q --replace tree file
  diff -r tree file
  ln -s nowhere link
  reflink-clone -q --replace src link
  [[ -f link && ! -L link ]]
  no_temporaries
}

@test "--replace on XFS: files, trees, one instead of the other" { replace_on xfs; }
@test "--replace on btrfs: files, trees, one instead of the other" { replace_on btrfs; }
@test "--replace on ext4: files, trees, one instead of the other" { replace_on ext4; }
@test "--replace on tmpfs: files, trees, one instead of the other" { replace_on tmpfs; }

@test "--replace never takes the source or what holds it" {
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

@test "--replace: whoever looks finds the old one or the new one" {
  on xfs
  mkdir a b
  seq 200 | tee a/1 a/2 >a/3
  seq 300 | tee b/1 b/2 >b/3
  reflink-clone -q a dst
  # The name alone: who has looked up the old tree sees that being emptied.
  spawn bash -c 'while [[ -d dst ]]; do :; done; touch gone'
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

@test "--replace: an error leaves the old one" {
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

# ---- --verify

@test "--verify: the same passes, a difference is status 1 and leaves nothing" {
  local type n
  for type in xfs ext4; do
    on "$type"
    make_guest guest
    run -0 reflink-clone --json --verify --jobs 2 guest dst
    [[ $(records 'select(.path == "dst/overlay.raw" or .path == "dst/empty/the-same-disk") | .phases.verify > 0' | sort -u) == *true* ]]
    diff -r --no-dereference guest dst
    rm -rf dst
    # A write that is said to be done and is not.
    n=$(number_of pwrite64 1048576 reflink-clone -q --reflink=never guest/overlay.raw dst)
    rm dst
    run --separate-stderr -1 strace -f -qq -o /dev/null -e inject="pwrite64:retval=1048576:when=$n" \
      reflink-clone --reflink=never --verify guest/overlay.raw dst
    assert_contains "$stderr" "cannot verify 'dst': it differs from 'guest/overlay.raw' near byte 1048576"
    run --separate-stderr -0 strace -f -qq -o /dev/null -e inject="pwrite64:retval=1048576:when=$n" \
      reflink-clone --reflink=never guest/overlay.raw unverified
    ! cmp -s guest/overlay.raw unverified || fail 'the fault was not injected'
    [[ ! -e dst ]]
  done
}

# ---- --dig and --sparse

@test "scattered zero pages are kept: holes are few, and only long ones" {
  on xfs
  # 3000 single zero pages, then 1500 runs of 64 KiB and one of 1 MiB.
  python3 - <<'PYTHON'
import os
page, zero = os.urandom(4096), bytes(4096)
with open("memory", "wb") as f:
    for i in range(3000): f.write(page + zero)
    for i in range(1500): f.write(page + zero * 16)
    f.write(page + zero * 256 + page)
PYTHON
  cp memory expected
  run -0 reflink-clone --json --dig memory dst
  local dug=$(((999 - $(records 'select(.type == "file") | .extents')) * 65536 + 1048576))
  assert_equal "$(records 'select(.type == "file") | [.method, .bytes_dug]')" "[\"reflink\",$dug]"
  cmp dst expected
  # But for what the list of extents itself takes.
  (($(blocks dst) - ($(blocks memory) - dug / 512) < 128)) || fail "$(blocks dst) blocks"
  (($(records 'select(.type == "file") | .extents_after') <= 1000)) || fail 'more extents than holes'
  run -0 reflink-clone --json --jobs 2 --dig memory
  assert_equal "$(records .bytes_dug)" "$dug"
  cmp memory expected
  # Again and again makes it no worse.
  reflink-clone -q --dig memory
  (($(extents memory) <= 1000)) || fail "$(extents memory) extents"
  cmp memory expected
}

@test "--dig refuses a file that is open for writing, and names who has it" {
  on xfs
  head -c 1M /dev/zero >file
  exec {writer}<>file
  run --separate-stderr -1 reflink-clone --dig file
  assert_contains "$stderr" "'file': it is being written to; process $BASHPID ("
  exec {writer}>&-
  (($(blocks file) >= 2048))
  run -0 reflink-clone --dig file
  (($(blocks file) == 0))
}

@test "--sparse makes holes in copies and leaves what is shared" {
  on ext4
  { head -c 1M /dev/zero && printf x && head -c 3M /dev/zero; } >src
  run -0 reflink-clone --json --sparse src dst
  assert_equal "$(records 'select(.type == "file") | [.method, .bytes_dug]')" "[\"copy\",$((4194305 - 4097))]"
  cmp src dst
  sync dst
  (($(blocks dst) <= 16))
  # Zeros that are data stay data without it: 3 MiB more.
  run -0 reflink-clone --json src plain
  sync plain
  (($(blocks plain) >= 8192))
  on xfs
  head -c 1M /dev/zero >src
  run -0 reflink-clone --json --sparse src dst
  assert_equal "$(records 'select(.type == "file") | [.method, .bytes_dug]')" '["reflink",0]'
}

# ---- --jobs, --progress

@test "--jobs: the same clone, by threads" {
  local type
  for type in xfs ext4; do
    on "$type"
    make_guest guest
    mkdir guest/many
    for ((i = 0; i < 200; i++)); do printf '%s' "$i" >"guest/many/$i"; done
    truncate -s 200M guest/large
    dd if=/dev/urandom of=guest/large bs=1M count=70 seek=20 conv=notrunc status=none
    run -0 --separate-stderr reflink-clone --json --reflink=never --jobs 4 guest dst
    assert_same_tree guest dst
    assert_equal "$(records 'select(.type == "total") | [.files, .bytes_hole > 130 * 1048576]')" '[210,true]'
    assert_equal "$(records 'select(.type == "file") | .path' | sort -u | wc -l)" 210
    rm -rf dst
    # An error in a thread is the status, and nothing is left.
    run --separate-stderr -5 strace -f -qq -o /dev/null -e inject=pwrite64:error=ENOSPC:when=50 \
      reflink-clone -q --reflink=never --jobs 4 guest dst
    assert_contains "$stderr" 'No space left on device'
    assert_equal "$(ls -A)" guest
  done
}

@test "--progress: always, never, and on a terminal" {
  require_cmd script
  on ext4
  head -c 3M /dev/urandom >src
  reflink-clone -q --progress=always src a 2>said
  grep -q "^'a': 100%, 3.0 MiB of 3.0 MiB, " said || fail "$(<said)"
  reflink-clone src b 2>said
  [[ ! -s said ]]
  run -0 script -qec 'reflink-clone --progress=always src c' /dev/null
  [[ $output == *$'\r\e[K'* ]]
  run -0 script -qec 'reflink-clone --progress=never src d' /dev/null
  [[ $output != *$'\r\e[K'* ]]
}

# ---- extents: warning, --stat, --defrag

@test "many extents: a warning, a limit, and --stat says why" {
  local type
  for type in xfs btrfs; do
    on "$type"
    make_fragmented few 100
    run --separate-stderr -0 reflink-clone --json few dst-few
    assert_equal "$(records 'select(.type == "file") | [.extents, .extents_after, .bytes_shared]')" "[100,100,$((100 * 4096))]"
    make_fragmented src 1001
    run --separate-stderr -0 reflink-clone --json src dst
    assert_contains "$stderr" "warning: 'src' has 1001 extents, each clone of it takes up to"
    assert_equal "$(records 'select(.type == "file") | .extents')" 1001
    (($(records 'select(.type == "file") | .bytes_shared') / 65536 == 1001 * 4096 / 65536)) || fail 'bytes_shared'
    assert_equal "$(extents dst)" 1001
    run --separate-stderr -0 reflink-clone --max-extents 1001 src quiet
    assert_equal "$stderr" ''
    run --separate-stderr -1 reflink-clone --max-extents 1000 src dst2
    assert_contains "$stderr" "'src': it has 1001 extents, more than 1000, each clone of it takes up to"
    [[ ! -e dst2 ]]
    run -0 reflink-clone --json --stat src
    assert_equal "$(records '[.type, .extents, .bytes_shared, .bytes_exclusive, .holes, .links, .has_writer]')" \
      "[\"stat\",1001,$((1001 * 4096)),0,1001,1,false]"
  done
}

@test "--stat: what is shared and what is not, on each filesystem" {
  local type shared links=2
  for type in xfs btrfs ext4 tmpfs; do
    on "$type"
    make_disk file
    ln file other
    reflink-clone -q file clone
    printf mine | dd of=clone bs=1M seek=5 conv=notrunc status=none
    run -0 reflink-clone --json --stat file clone
    assert_equal "$(records '[.path, .size_bytes, .holes, .bytes_hole, .links]' | head -n 1)" "[\"file\",9437185,3,6291457,$links]"
    shared=$(records .bytes_shared | tail -n 1)
    case $type in
      xfs | btrfs) assert_equal "$shared $(records .bytes_exclusive | tail -n 1)" "$((3145728 - 4096)) 4096" ;;
      ext4) assert_equal "$shared" 0 ;;
      tmpfs) assert_equal "$shared" null ;;
    esac
    if [[ $type != tmpfs ]]; then
      assert_equal "$(records .extents | tail -n 1)" "$(extents clone)"
    fi
  done
  run -0 reflink-clone --stat file
  assert_contains "$output" "'file': 9.0 MiB, 3.0 MiB on the disk, 6.0 MiB in 3 holes, 2 links"
  mkdir directory
  run --separate-stderr -4 reflink-clone --stat directory file
  assert_contains "$stderr" "'directory': it is not a regular file"
  assert_contains "$output" "'file': "
  run -5 reflink-clone --stat absent
}

defrag_on() { # <filesystem>
  on "$1"
  make_fragmented src 1200
  truncate -s 64M src # and one large hole
  cp src expected
  touch -d '2001-02-03 04:05:06.123456789' src
  chmod 0640 src
  chown 1234:5678 src
  setfattr -n user.colour -v green src
  local old
  old=$(inode src)
  run --separate-stderr -0 reflink-clone --json --dry-run --defrag src dst
  assert_equal "$(inode src)" "$old"
  run --separate-stderr -0 reflink-clone --json --defrag src a b
  assert_equal "$stderr" ''
  assert_equal "$(records 'select(.type == "file") | .defragged')" $'1200\n1200'
  [[ $(inode src) != "$old" ]]
  cmp src expected
  cmp b expected
  (($(extents src) <= 4)) || fail "$(extents src) extents"
  (($(shared_extents a) >= 1 && $(own_extents a) == 0))
  # The large hole is still one.
  (($(blocks src) < 32768)) || fail 'the hole is filled'
  assert_equal "$(stat -c '%a %u %g %h %y' src)" '640 1234 5678 1 2001-02-03 04:05:06.123456789 +0000'
  assert_equal "$(getfattr --only-values -n user.colour src)" green
  # Now there is nothing to do.
  old=$(inode src)
  run -0 reflink-clone --json --defrag src
  assert_equal "$(records '[.type, .defragged]')" '["in_place",null]'
  assert_equal "$(inode src)" "$old"
  no_temporaries
}

@test "--defrag on XFS: the source is rewritten densely, then cloned" { defrag_on xfs; }
@test "--defrag on btrfs: the source is rewritten densely, then cloned" { defrag_on btrfs; }

@test "--defrag in a tree, and with a limit of its own" {
  on xfs
  mkdir -p tree/sub
  make_fragmented tree/sub/disk 40
  printf small >tree/small
  run -0 reflink-clone --json --defrag --max-extents 39 tree dst
  assert_equal "$(records 'select(.path == "dst/sub/disk") | [.defragged, .extents]')" '[40,1]'
  diff -r tree dst
  assert_equal "$(find . -name '.*.snapfork-tmp')" ''
}

@test "--defrag is refused while somebody writes, and where other names would stay behind" {
  on xfs
  make_fragmented src 40
  local old
  old=$(inode src)
  exec {writer}<>src
  run --separate-stderr -1 reflink-clone --defrag --max-extents 39 src dst
  assert_contains "$stderr" "cannot rewrite 'src': it is being written to; process $BASHPID ("
  exec {writer}>&-
  ln src other
  run --separate-stderr -1 reflink-clone --defrag --max-extents 39 src dst
  assert_contains "$stderr" '2 links'
  rm other
  assert_equal "$(inode src) $(ls -A)" "$old src"
}

# Somebody opens the file for writing in the middle: that waits for the lease, and the old file stays.
@test "--defrag gives way to who opens the file for writing meanwhile" {
  require_cmd strace
  on xfs
  make_fragmented src 1200
  cp src expected
  local old call status
  old=$(inode src)
  # While it copies, and just before it exchanges the two.
  for call in pwrite64 linkat; do
    stop_after "$call" 1 reflink-clone -q --defrag src dst
    spawn bash -c 'exec 5<>src; printf late >&5'
    wait_until 20 grep -q 'LEASE  BREAK' /proc/locks
    status=0
    go_on || status=$?
    assert_equal "$status" 1
    wait "$spawned_pid"
    grep -qE "cannot re[a-z]+ 'src': somebody opens" said || fail "$(<said)"
    assert_equal "$(inode src) $(head -c 4 src)" "$old late"
    [[ ! -e dst ]]
    no_temporaries
  done
}

# ---- who writes, what is dirty

@test "a source that is being written to is named, and the clone made" {
  on xfs
  make_disk src
  exec {writer}<>src
  run --separate-stderr -0 reflink-clone --json src dst
  assert_contains "$stderr" "'src' is being written to"
  assert_contains "$stderr" "process $BASHPID ("
  assert_equal "$(records 'select(.type == "file") | .has_writer')" true
  run -0 reflink-clone --json --stat src
  assert_equal "$(records .has_writer)" true
  exec {writer}>&-
}

@test "what a dirty source costs is in the report" {
  require_cmd strace
  on xfs
  head -c 2M /dev/urandom >src
  # The flush is the first FIEMAP; here it takes long.
  local n
  n=$(number_of ioctl FIEMAP_FLAG_SYNC reflink-clone --progress=never src dst)
  rm dst
  run -0 strace -f -qq -o /dev/null -e inject="ioctl:delay_enter=300000:when=$n" reflink-clone --progress=never src dst
  [[ $output =~ \([0-9.]+\ (ms|s)\ to\ write\ out\ dirty\ data\ of\ the\ source\) ]] || fail 'not said'
  run -0 strace -f -qq -o /dev/null -e inject="ioctl:delay_enter=300000:when=$n" \
    reflink-clone --progress=never --json src dst2
  assert_equal "$(records 'select(.type == "total") | .phases.flush >= 0.3 and .phases.reflink < 0.3')" true
  # And it is flushed, before FICLONE.
  printf more >>src
  reflink-clone -q src dst3
  [[ $(filefrag -v src) != *delalloc* ]]
}

# ---- --clean

@test "--clean removes what killed runs left, and nothing else" {
  mkdir -p dir/.tree.snapfork-tmp/deep dir/sub dir/.busy.snapfork-tmp
  printf x | tee dir/.file.snapfork-tmp dir/sub/.below.snapfork-tmp dir/other dir/.written.snapfork-tmp >dir/.tree.snapfork-tmp/deep/x
  ln -s / dir/.link.snapfork-tmp
  exec {lock}<dir/.busy.snapfork-tmp {writer}<>dir/.written.snapfork-tmp
  flock -x "$lock"
  run -0 reflink-clone --json --dry-run --clean dir
  assert_equal "$(records '[.path, .in_use, .removed]')" \
    $'["dir/.busy.snapfork-tmp",true,false]\n["dir/.file.snapfork-tmp",false,false]\n["dir/.tree.snapfork-tmp",false,false]\n["dir/.written.snapfork-tmp",true,false]'
  [[ -e dir/.tree.snapfork-tmp/deep/x ]]
  run -0 reflink-clone --clean dir
  assert_contains "$output" "'dir/.tree.snapfork-tmp': removed"
  assert_contains "$output" "'dir/.busy.snapfork-tmp': left alone"
  assert_equal "$(ls -A dir)" $'.busy.snapfork-tmp\n.link.snapfork-tmp\n.written.snapfork-tmp\nother\nsub'
  [[ -e dir/sub/.below.snapfork-tmp ]]
  exec {lock}<&- {writer}>&-
  run -0 reflink-clone -q --clean dir
  assert_equal "$output" ''
  assert_equal "$(ls -A dir)" $'.link.snapfork-tmp\nother\nsub'
  run -5 reflink-clone --clean absent
}

@test "options that do not go together are usage errors" {
  printf x >src
  local words
  for words in '--unshare --stat src' '--stat --probe .' '--stat' '--clean . src' '--jobs 0 src dst' '--jobs x src dst' \
    '--progress=maybe src dst' '--replace --unshare src' '--dig --replace src' '--defrag --exclude x src'; do
    # shellcheck disable=SC2086 # words are words
    run --separate-stderr -2 reflink-clone $words
    assert_equal "$output" ''
  done
  assert_equal "$(ls -A -I 'separate-stderr-*')" $'root\nsrc'
}
