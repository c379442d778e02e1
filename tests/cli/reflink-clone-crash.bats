#!/usr/bin/env bats
# reflink-clone: killed just before each of its system calls that change something, it leaves either nothing
# under the destination's name or the whole; the next run clears what it left.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run

load helpers
load ../mounts

setup() {
  common_setup
  require_cmd strace
  export ASAN_OPTIONS=detect_leaks=0 # which cannot be under strace
}

teardown() {
  common_teardown
  unmount_all
}

# Every system call of the program that changes a filesystem.
changes=(mkdirat openat ioctl ftruncate pwrite64 fallocate linkat symlinkat fchown fchownat fchmod fsetxattr
  fremovexattr utimensat fsync renameat renameat2 unlinkat flock)

make_tree() { # <dir>
  mkdir -p "$1/snapshots/s" "$1/locked"
  head -c 300K /dev/urandom >"$1/disk"
  truncate -s 1M "$1/disk"
  head -c 20000 /dev/urandom >"$1/snapshots/s/memory"
  ln "$1/disk" "$1/same"
  ln -s somewhere "$1/link"
  chown 1234:5678 "$1/disk"
  chmod 0444 "$1/snapshots/s/memory"
  chmod 0555 "$1/locked"
  setfattr -n user.colour -v green "$1/disk" 2>/dev/null || true
}

manifest() { # <file or dir>
  (
    cd "$1" 2>/dev/null || exec stat -c '%n %a %u:%g %s' "$1"
    find . -printf '%y %m %U:%G %s %n %P -> %l\n' | sort
    find . -type f -print0 | sort -z | xargs -0 sha256sum
  )
}

# Kills the command at the first, second, ... call of each kind until it survives. After each kill the
# check is called; then a run without kills must succeed and leave nothing but the destination.
kill_everywhere() { # <check> <command> [argument]...
  local check=$1 call n status kills=0
  shift
  for call in "${changes[@]}"; do
    for ((n = 1; ; n++)); do
      status=0
      kill_at "$call" "$n" "$@" >/dev/null 2>&1 || status=$?
      ((status == 137)) || break
      ((kills += 1))
      "$check" "killed before $call number $n"
    done
    ((status == 0)) || fail "$* fails with status $status when traced"
    "$check" "survived $call"
  done
  ((kills >= 10)) || fail "only $kills places to kill $*"
}

# Nothing or the whole; then, unless it is the whole, the next run makes it so.
check_clone() { # <when>
  if [[ ! -e dst ]]; then
    reflink-clone -q src dst || fail "the next run fails, $1"
  fi
  [[ $(manifest dst) == "$expected" ]] || fail "not the whole, $1: $(manifest dst)"
  [[ -z $(find . -name '.*.snapfork-tmp') ]] || fail "something is left, $1: $(ls -A)"
  rm -rf dst
}

crash_clones_on() { # <filesystem>
  mount_fs "$1" "$BATS_TEST_TMPDIR/fs"
  cd fs || return 1
  make_tree src
  expected=$(manifest src)
  kill_everywhere check_clone reflink-clone -q --durable src dst
  mv src/disk disk
  rm -rf src
  mv disk src
  expected=$(manifest src | sed 's/src/dst/')
  kill_everywhere check_clone reflink-clone -q --durable --dig src dst
}

@test "kill -9 anywhere in a clone on XFS" { crash_clones_on xfs; }
@test "kill -9 anywhere in a clone on btrfs" { crash_clones_on btrfs; }
@test "kill -9 anywhere in a copy on ext4" { crash_clones_on ext4; }

# The name always stands for the same contents, and in the end for an inode of its own.
check_unshare() { # <when>
  [[ $(sha256sum <memory) == "$expected" ]] || fail "contents lost, $1"
  [[ $(sha256sum <other) == "$expected" ]] || fail "contents of the other lost, $1"
  reflink-clone -q --unshare --dig memory || fail "the next run fails, $1"
  [[ $(stat -c '%h %a' memory) == '1 644' ]] || fail "not unshared, $1: $(stat memory)"
  [[ -z $(find . -name '.*.snapfork-tmp') ]] || fail "something is left, $1: $(ls -A)"
  rm memory
  ln other memory
}

@test "kill -9 anywhere in --unshare --dig" {
  mount_fs xfs "$BATS_TEST_TMPDIR/fs"
  cd fs || return 1
  head -c 100K /dev/urandom >other
  head -c 100K /dev/zero >>other
  chmod 0444 other
  ln other memory
  expected=$(sha256sum <other)
  kill_everywhere check_unshare reflink-clone -q --durable --unshare --dig memory
}

# Where a filesystem has no unnamed files, the temporary name is used for files, too.
@test "kill -9 anywhere where O_TMPFILE is refused" {
  mount_fs ext4 "$BATS_TEST_TMPDIR/fs" 32
  cd fs || return 1
  head -c 20000 /dev/urandom >src
  expected=$(manifest src | sed 's/src/dst/')
  local call n status kills=0
  # The first openat with O_TMPFILE is the fourth: three are the loader's and the operands'.
  n=$(strace -f -qq -e trace=openat reflink-clone -q src dst 2>&1 | grep -n O_TMPFILE | cut -d: -f1)
  rm dst
  local no_tmpfile=(-e inject="openat:error=EOPNOTSUPP:when=$n")
  for call in ftruncate ioctl pwrite64 utimensat linkat unlinkat; do
    status=0
    strace -f -qq -o /dev/null "${no_tmpfile[@]}" -e inject="$call:signal=SIGKILL:when=1" \
      reflink-clone -q src dst 2>/dev/null || status=$?
    ((status != 137)) || ((kills += 1))
    if [[ $call == unlinkat ]]; then
      [[ -e dst && -e .dst.snapfork-tmp ]] || fail 'the name appears before the temporary goes'
      rm dst
    else
      [[ ! -e dst && -e .dst.snapfork-tmp ]] || fail "no leftover before $call"
    fi
    check_clone "killed before $call"
  done
  ((kills == 6)) || fail "only $kills kills"
  strace -f -qq -o /dev/null "${no_tmpfile[@]}" reflink-clone -q src dst
  check_clone 'survived'
}

@test "another run's temporary is respected while that lives, and removed after" {
  mkdir src .dst.snapfork-tmp
  touch src/new .dst.snapfork-tmp/old
  exec {lock}<.dst.snapfork-tmp
  flock -x "$lock"
  run --separate-stderr -1 reflink-clone src dst
  assert_contains "$stderr" 'another run'
  [[ -e .dst.snapfork-tmp/old && ! -e dst ]]
  exec {lock}<&-
  reflink-clone -q src dst
  assert_equal "$(ls -A -I 'separate-stderr-*')" $'dst\nroot\nsrc'
  assert_equal "$(ls dst)" new
}
