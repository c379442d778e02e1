#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone: --durable, --dry-run, --progress, --verify, --jobs, --clean; checked in the kernel's state.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

@test "--durable flushes before the name appears, and the directory after" {
  on xfs
  make_guest guest
  local calls
  strace -f -qq -o file.trace -e trace=fsync,linkat reflink-clone -q --durable guest/overlay.raw dst
  calls=$(sed -E 's/^[0-9]+ +([a-z0-9]+)\(.*/\1/' file.trace | uniq -c | awk '{print $1 $2}' | paste -sd ' ')
  assert_equal "$calls" '1fsync 1linkat 1fsync'
  strace -f -qq -o tree.trace -e trace=fsync,renameat2 reflink-clone -q --durable guest dst-tree
  calls=$(sed -E 's/^[0-9]+ +([a-z0-9]+)\(.*/\1/' tree.trace | uniq -c | awk '{print $1 $2}' | paste -sd ' ')
  # 9 file names and 5 directories.
  assert_equal "$calls" '14fsync 1renameat2 1fsync'
  strace -f -qq -o none.trace -e trace=fsync,fdatasync,syncfs reflink-clone -q guest dst-lazy
  [[ ! -s none.trace ]]
}

@test "reflink-clone --dry-run prints the steps and changes nothing" {
  on xfs
  make_guest guest
  run -0 reflink-clone --json --dry-run guest dst
  assert_equal "$(records 'select(.type == "total") | [.dry_run, .method, .files, .bytes_copied]')" '[true,"reflink",9,0]'
  run -0 reflink-clone --dry-run guest dst
  assert_contains "$output" "'dst': would be created: 9 files"
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

@test "a long copy shows its progress on a terminal only" {
  require_cmd script strace
  on tmpfs
  head -c 3M /dev/urandom >src
  # Each piece of 128 KiB takes this long.
  local slow='strace -qq -o /dev/null -e trace=pwrite64 -e inject=pwrite64:delay_enter=60000'
  run -0 env TERM=xterm script -qec "$slow reflink-clone src dst" /dev/null
  [[ $output =~ \'dst\':\ [0-9]+%,\ .*\ of\ 3\.0\ MiB ]] || fail 'no progress'
  $slow reflink-clone src dst2 >out 2>err
  assert_only_copy_warning tmpfs '3.0 MiB' "$(<err)"
}

@test "--verify accepts equal contents; a difference is exit status 1 and leaves no destination" {
  local type n
  for type in xfs ext4; do
    on "$type"
    make_guest guest
    run -0 reflink-clone --json --verify --jobs 2 guest dst
    [[ $(records 'select(.path == "dst/overlay.raw" or .path == "dst/empty/the-same-disk") | .phases.verify > 0' | sort -u) == *true* ]]
    diff -r --no-dereference guest dst
    rm -rf dst
    # A write that reports success without writing.
    n=$(number_of pwrite64 1048576 reflink-clone -q --reflink=never guest/overlay.raw dst)
    rm dst
    run --separate-stderr -1 strace -f -qq -o /dev/null -e inject="pwrite64:retval=131072:when=$n" \
      reflink-clone --reflink=never --verify guest/overlay.raw dst
    assert_contains "$stderr" "cannot verify 'dst': it differs from 'guest/overlay.raw' near byte 1048576"
    run --separate-stderr -0 strace -f -qq -o /dev/null -e inject="pwrite64:retval=131072:when=$n" \
      reflink-clone --reflink=never guest/overlay.raw unverified
    ! cmp -s guest/overlay.raw unverified || fail 'the fault was not injected'
    [[ ! -e dst ]]
  done
}

@test "--jobs makes the same clone with several threads" {
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
    # An error in a thread is the exit status, and nothing is left.
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
  assert_only_copy_warning ext4 '3.0 MiB' "$(<said)"
  run -0 env TERM=xterm script -qec 'reflink-clone --progress=always src c' /dev/null
  [[ $output == *$'\r\e[K'* ]]
  run -0 script -qec 'reflink-clone --progress=never src d' /dev/null
  [[ $output != *$'\r\e[K'* ]]
}

@test "the progress line fits the terminal, shortens the name, and is not drawn on a dumb terminal" {
  require_cmd script strace
  on tmpfs
  head -c 3M /dev/urandom >src
  mkdir -p a-directory-with-a-long-name/and-another-one-below-it
  local slow='strace -qq -o /dev/null -e trace=pwrite64 -e inject=pwrite64:delay_enter=60000' line
  run -0 env TERM=xterm script -qec "stty cols 60; $slow reflink-clone --progress=always --durable -q src \
    a-directory-with-a-long-name/and-another-one-below-it/a-file-with-quite-a-long-name" /dev/null
  while IFS= read -r -d $'\r' line; do
    line=${line#$'\e[K'}
    ((${#line} < 60)) || fail "${#line} columns: $line"
  done <<<"$output"$'\r'
  assert_contains "$output" 'of 3.0 MiB, '
  assert_contains "$output" 's left'
  assert_contains "$output" 'flushing 3.0 MiB to the disk'
  run -0 env TERM=dumb script -qec "$slow reflink-clone -q src b" /dev/null
  assert_equal "$output" ''
  run -0 env TERM=xterm script -qec "$slow reflink-clone -q src c" /dev/null
  assert_equal "$output" ''
}

@test "--clean removes leftovers of killed runs and nothing else" {
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
  assert_contains "$output" "'dir/.busy.snapfork-tmp': kept"
  assert_equal "$(ls -A dir)" $'.busy.snapfork-tmp\n.link.snapfork-tmp\n.written.snapfork-tmp\nother\nsub'
  [[ -e dir/sub/.below.snapfork-tmp ]]
  exec {lock}<&- {writer}>&-
  run -0 reflink-clone -q --clean dir
  assert_equal "$output" ''
  assert_equal "$(ls -A dir)" $'.link.snapfork-tmp\nother\nsub'
  run -5 reflink-clone --clean absent
}
