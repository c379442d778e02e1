#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone: sources with many extents, with dirty data, with writers; --stat, --defrag.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

@test "--max-extents refuses a fragmented source, and prints the cost" {
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

@test "many extents cause a warning or exceed a limit, and --stat shows them" {
  local type
  for type in xfs btrfs; do
    on "$type"
    make_fragmented few 100
    run --separate-stderr -0 reflink-clone --json few dst-few
    assert_equal "$(records 'select(.type == "file") | [.extents, .extents_after, .bytes_shared]')" "[100,100,$((100 * 4096))]"
    make_fragmented src 1001
    run --separate-stderr -0 reflink-clone --json src dst
    assert_contains "$stderr" "warning: 'src' has 1001 extents, each clone of it takes up to"
    assert_equal "$(records 'select(.type == "file") | [.extents, .extents_after]')" '[1001,1001]'
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

@test "--stat reports shared and unshared bytes on each filesystem" {
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
  # The large hole remains.
  (($(blocks src) < 32768)) || fail 'the hole is filled'
  assert_equal "$(stat -c '%a %u %g %h %y' src)" '640 1234 5678 1 2001-02-03 04:05:06.123456789 +0000'
  assert_equal "$(getfattr --only-values -n user.colour src)" green
  # A second run changes nothing.
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

@test "--defrag is refused for a file with a writer, and for one with other links" {
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

# A process opens the file for writing during the rewrite: it waits for the lease, and the old file stays.
@test "--defrag stops if a process opens the file for writing" {
  require_cmd strace
  on xfs
  make_fragmented src 1200
  cp src expected
  local old call status
  old=$(inode src)
  # During the copy, and just before the exchange.
  for call in pwrite64 linkat; do
    stop_after "$call" 1 reflink-clone -q --defrag src dst
    spawn bash -c 'exec 5<>src; printf late >&5'
    wait_for_lease_break
    status=0
    go_on || status=$?
    assert_equal "$status" 1
    wait "$spawned_pid"
    grep -qE "cannot re[a-z]+ 'src': a process opens" said || fail "$(<said)"
    assert_equal "$(inode src) $(head -c 4 src)" "$old late"
    [[ ! -e dst ]]
    no_temporaries
  done
}

# ---- writers and dirty data

@test "a source with a writer causes a warning, and the clone is made" {
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

@test "the report contains the time to write out a dirty source" {
  require_cmd strace
  on xfs
  head -c 2M /dev/urandom >src
  # The flush is the first FIEMAP; strace delays it here.
  local n
  n=$(number_of ioctl FIEMAP_FLAG_SYNC reflink-clone --progress=never src dst)
  rm dst
  run -0 strace -f -qq -o /dev/null -e inject="ioctl:delay_enter=300000:when=$n" reflink-clone --progress=never src dst
  [[ $output =~ \([0-9.]+\ (ms|s)\ to\ write\ out\ dirty\ data\ of\ the\ source\) ]] || fail 'not said'
  run -0 strace -f -qq -o /dev/null -e inject="ioctl:delay_enter=300000:when=$n" \
    reflink-clone --progress=never --json src dst2
  assert_equal "$(records 'select(.type == "total") | .phases.flush >= 0.3 and .phases.reflink < 0.3')" true
  # It is flushed before FICLONE.
  printf more >>src
  reflink-clone -q src dst3
  [[ $(filefrag -v src) != *delalloc* ]]
}

@test "-q makes no additional system calls; --json and -v query everything" {
  require_cmd strace
  on btrfs
  make_fragmented src 1200
  local words
  for words in -q ''; do
    # shellcheck disable=SC2086 # words are words
    strace -f -qq -o trace -e trace=ioctl reflink-clone $words src dst 2>/dev/null >&2
    case $words in
      -q) refute_contains "$(<trace)" FIEMAP ;;
      '') assert_equal "$(grep -c FIEMAP trace)" 1 ;; # of the source alone, for the warning
    esac
    rm dst
  done
  printf small >small
  strace -f -qq -o trace -e trace=ioctl reflink-clone small dst >&2
  refute_contains "$(<trace)" FIEMAP # so short a file cannot have many
  for words in --json -v; do
    strace -f -qq -o trace -e trace=ioctl reflink-clone $words small "dst$words" >&2
    assert_equal "$(grep -c FIEMAP trace)" 1 # of the clone
  done
}
