#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone: the command line, and the properties of a cloned file on each filesystem.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

# ---- standard cases and the command line

@test "reflink-clone: help, version, unknown options, closed streams" {
  standard_cases reflink-clone
}

@test "a wrong command line is a usage error and does nothing" {
  printf text >src
  local words
  for words in '' src '--reflink=maybe src dst' '--memory=link src dst' '--profile vm --memory=x src dst' \
    '--max-extents 0 src dst' --unshare '--unshare --profile vm src' \
    '--dig --exclude x src' 'src /' 'src ..' 'src ./.'; do
    # shellcheck disable=SC2086 # words are words
    run --separate-stderr -2 reflink-clone $words
    assert_equal "$output" ''
    assert_contains "$stderr" 'reflink-clone: '
  done
  [[ $(ls -I 'separate-stderr-*') == $'root\nsrc' ]] || fail "made something: $(ls)"
}

@test "a closed or full standard output does not damage the clone" {
  printf text >src
  check_closed_streams reflink-clone absent dst
  run -5 bash -c 'reflink-clone src dst >/dev/full'
  cmp src dst
  bash -c 'reflink-clone src dst2 >&- 2>&-'
  cmp src dst2
}

@test "options that exclude each other are usage errors" {
  printf x >src
  local words
  for words in '--unshare --stat src' '--stat --clean .' '--stat' '--clean . src' '--jobs 0 src dst' '--jobs x src dst' \
    '--progress=maybe src dst' '--replace --unshare src' '--dig --replace src' '--defrag --exclude x src'; do
    # shellcheck disable=SC2086 # words are words
    run --separate-stderr -2 reflink-clone $words
    assert_equal "$output" ''
  done
  assert_equal "$(ls -A -I 'separate-stderr-*')" $'root\nsrc'
}

# ---- files

clone_a_file_on() { # <filesystem>
  on "$1"
  make_disk src
  chmod 0604 src
  touch -d '2001-02-03 04:05:06.123456789' src
  run --separate-stderr -0 reflink-clone --json src dst
  assert_only_copy_warning "$1" '3.0 MiB' "$stderr"
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

@test "--reflink=always: a file that cannot be shared is unsupported, and leaves no destination" {
  on ext4
  make_guest guest
  run --separate-stderr -3 reflink-clone --reflink=always guest/overlay.raw dst
  assert_contains "$stderr" 'ext4 cannot share blocks; XFS and btrfs can'
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

@test "an unnamed file gets its name through /proc if AT_EMPTY_PATH is not permitted" {
  require_cmd strace
  on xfs
  printf text >src
  strace -qq -o trace -e trace=linkat -e inject=linkat:error=ENOENT:when=1 reflink-clone -q src dst
  assert_equal "$(grep -c linkat trace)" 2
  cmp src dst
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

@test "a copy preallocates blocks on ext4 only" {
  require_cmd strace
  local type expected
  for type in ext4 btrfs xfs; do
    on "$type"
    make_disk src
    strace -qq -o trace -e trace=fallocate reflink-clone -q --reflink=never src dst
    expected=0
    [[ $type != ext4 ]] || expected=2 # its data is in two places
    assert_equal "$(grep -c KEEP_SIZE trace || true)" "$expected"
    cmp src dst
  done
}

@test "a symlink as SRC is followed" {
  printf text >file
  ln -s file src
  reflink-clone -q src dst
  [[ -f dst && ! -L dst ]]
  cmp dst file
}

@test "reflink-clone prints each file over 1 MiB and a total, and nothing with -q" {
  mkdir guest
  make_disk guest/disk
  printf small >guest/small
  run --separate-stderr -0 reflink-clone guest dst
  assert_equal "${#lines[@]}" 2
  [[ ${lines[0]} == "'dst/disk': "* && ${lines[1]} == "'dst': 2 files, "* ]] || fail 'lines'
  run -0 reflink-clone -q guest dst2
  assert_equal "$output" ''
}
