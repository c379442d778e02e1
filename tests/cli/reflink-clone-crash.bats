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

# Every system call of the program that changes a filesystem, and openat, which may.
changes=mkdirat,openat,ioctl,ftruncate,pwrite64,fallocate,linkat,symlinkat,fchown,fchownat,fchmod,fsetxattr,fremovexattr
changes+=,copy_file_range,utimensat,fsync,renameat,renameat2,unlinkat,flock,fcntl

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

# Runs the command under a fault at each of these calls: killed just before it (SIGKILL), or the call
# fails (ENOSPC, EIO). After each the check is called; a run without a fault must succeed, and the check then
# sees the whole.
fault_everywhere() { # <SIGKILL|ENOSPC|EIO> <check> <command> [argument]...
  local fault=$1 check=$2 call count n status hits=0 injection
  shift 2
  strace -f -qq -o calls -e trace="$changes" -- "$@" >/dev/null 2>&1 || fail "$* fails with status $? when traced"
  mv calls "$BATS_TEST_TMPDIR/calls"
  "$check" survived
  while read -r count call; do
    for ((n = 1; n <= count; n++)); do
      injection=$call:signal=SIGKILL:when=$n
      [[ $fault == SIGKILL ]] || injection=$call:error=$fault:when=$n
      status=0
      strace -f -qq -o /dev/null -e trace="$call" -e inject="$injection" -- "$@" >/dev/null 2>&1 || status=$?
      ((status == 0 || (hits += 1)))
      "$check" "$fault at $call number $n, status $status"
    done
  done < <(sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' "$BATS_TEST_TMPDIR/calls" | sort | uniq -c)
  ((hits >= 10)) || fail "only $hits places to hit $*"
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
  fault_everywhere SIGKILL check_clone reflink-clone -q --durable src dst
  mv src/disk disk
  rm -rf src
  mv disk src
  expected=$(manifest src | sed 's/src/dst/')
  fault_everywhere SIGKILL check_clone reflink-clone -q --durable --dig src dst
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

crash_unshare_on() { # <filesystem>
  mount_fs "$1" "$BATS_TEST_TMPDIR/fs"
  cd fs || return 1
  head -c 100K /dev/urandom >other
  head -c 100K /dev/zero >>other
  chmod 0444 other
  ln other memory
  expected=$(sha256sum <other)
  local fault
  for fault in SIGKILL "${@:2}"; do
    fault_everywhere "$fault" check_unshare reflink-clone -q --durable --unshare --dig memory
  done
}

@test "kill -9, ENOSPC, EIO anywhere in --unshare --dig on XFS" { crash_unshare_on xfs ENOSPC EIO; }
@test "kill -9 anywhere in --unshare --dig on btrfs" { crash_unshare_on btrfs; }
@test "kill -9 anywhere in --unshare --dig on ext4" { crash_unshare_on ext4; }

# What a file, or the file of a tree, says. Without a process: this is asked often.
says() { # <file or dir>
  if [[ -d $1 ]]; then printf '%s' "$(<"$1/file")"; else printf '%s' "$(<"$1")"; fi
}

# The old one or the new one, and after the next run the new one alone.
check_replace() { # <when>
  [[ $(says dst) == old || $(says dst) == new ]] || fail "neither the old one nor the new one, $1"
  reflink-clone -q --replace src dst || fail "the next run fails, $1"
  [[ $(says dst) == new ]] || fail "not replaced, $1"
  [[ -z $(find . -name '.*.snapfork-tmp') ]] || fail "something is left, $1: $(ls -A)"
  rm -rf dst
  cp -a before dst
}

crash_replace_on() { # <filesystem> [fault of a tree [fault of a file]]
  mount_fs "$1" "$BATS_TEST_TMPDIR/fs"
  cd fs || return 1
  mkdir src before before/deep
  printf new >src/file
  printf old | tee before/file >before/deep/file
  cp -a before dst
  local fault
  for fault in SIGKILL ${2-}; do
    fault_everywhere "$fault" check_replace reflink-clone -q --durable --replace src dst
  done
  rm -rf src before dst
  printf new >src
  printf old | tee before >dst
  for fault in SIGKILL ${3-}; do
    fault_everywhere "$fault" check_replace reflink-clone -q --durable --replace src dst
  done
}

@test "kill -9, ENOSPC, EIO anywhere in --replace on XFS" { crash_replace_on xfs ENOSPC EIO; }
@test "kill -9 anywhere in --replace on btrfs" { crash_replace_on btrfs; }
@test "kill -9 anywhere in --replace on ext4" { crash_replace_on ext4; }

# The source keeps its contents whatever happens, and the next run rewrites it; there is a clone or none.
check_defrag() { # <when>
  [[ $(sha256sum <src) == "$expected" ]] || fail "the source is lost, $1"
  [[ ! -e dst || $(sha256sum <dst) == "$expected" ]] || fail "half a clone, $1"
  rm -f dst
  reflink-clone -q --defrag --max-extents 9 src dst || fail "the next run fails, $1"
  [[ $(sha256sum <src) == "$expected" && $(stat -c '%a %h' src) == '640 1' ]] || fail "not the source, $1"
  reflink-clone -q --clean . # the leftover of a run that had rewritten it
  [[ -z $(find . -name '.*.snapfork-tmp') ]] || fail "something is left, $1: $(ls -A)"
  rm -f dst src
  cp --sparse=always -p before src
  sync src
}

crash_defrag_on() { # <filesystem> [fault]...
  mount_fs "$1" "$BATS_TEST_TMPDIR/fs"
  cd fs || return 1
  truncate -s 160K before
  local i fault
  for ((i = 0; i < 10; i++)); do
    printf '%s' "$i" | dd of=before bs=8K seek="$i" conv=notrunc status=none
  done
  chmod 0640 before
  cp --sparse=always -p before src
  sync src
  expected=$(sha256sum <src)
  for fault in SIGKILL "${@:2}"; do
    fault_everywhere "$fault" check_defrag reflink-clone -q --defrag --max-extents 9 src dst
  done
}

@test "kill -9, ENOSPC, EIO anywhere in --defrag on XFS" { crash_defrag_on xfs ENOSPC EIO; }
@test "kill -9 anywhere in --defrag on btrfs" { crash_defrag_on btrfs; }
@test "kill -9 anywhere in --defrag on ext4" { crash_defrag_on ext4; }

check_dig() { # <when>
  [[ $(sha256sum <file) == "$expected" ]] || fail "contents lost, $1"
  rm file
  cp before file
  sync file
}

@test "kill -9, EIO anywhere in --dig of a file" {
  mount_fs ext4 "$BATS_TEST_TMPDIR/fs" 32
  cd fs || return 1
  local fault
  for ((i = 0; i < 4; i++)); do
    head -c 4096 /dev/urandom
    head -c 128K /dev/zero
  done >before
  cp before file
  expected=$(sha256sum <before)
  for fault in SIGKILL EIO; do
    fault_everywhere "$fault" check_dig reflink-clone -q --durable --dig file
  done
}

fail_clones_on() { # <filesystem>
  mount_fs "$1" "$BATS_TEST_TMPDIR/fs"
  cd fs || return 1
  local fault
  mkdir src
  head -c 5000 /dev/urandom >src/disk
  ln src/disk src/same
  ln -s somewhere src/link
  expected=$(manifest src)
  for fault in ENOSPC EIO; do
    fault_everywhere "$fault" check_clone reflink-clone -q --durable src dst
  done
}

@test "ENOSPC, EIO anywhere in a clone on XFS" { fail_clones_on xfs; }
@test "ENOSPC, EIO anywhere in a copy on ext4" { fail_clones_on ext4; }

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
