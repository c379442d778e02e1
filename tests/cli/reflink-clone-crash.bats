#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone killed before each system call that changes something, or with ENOSPC or EIO from that call:
# the destination is either complete or absent, and the next run removes the leftovers.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run

load helpers
load ../mounts
load reflink-clone_helpers

# In memory, because most of these operations flush.
setup_file() {
  mount_fs tmpfs "$BATS_FILE_TMPDIR/ram" 1200
  BATS_FILE_TMPDIR+=/ram mount_each 128
}

setup() {
  common_setup
  require_cmd strace
  export ASAN_OPTIONS=detect_leaks=0 # which cannot be under strace
  random_tree=$HELPERS/random-tree
}

go_to() { # <filesystem>
  BATS_FILE_TMPDIR+=/ram on "$1"
}

# ---- faults

# The system calls that change something, or may: openat, ioctl and fcntl are examined by their arguments.
changes=mkdirat,openat,ioctl,ftruncate,fallocate,pwrite64,copy_file_range,linkat,symlinkat,fchown,fchownat,fchmod
changes+=,fchmodat,fsetxattr,setxattr,lsetxattr,fremovexattr,utimensat,fsync,renameat,renameat2,unlinkat,flock,fcntl

# Prints each call of a trace that changes something: its name, and its number among the calls of that name.
changing_calls() { # <trace>
  awk '
    { sub(/^[0-9]+ +/, ""); call = $0; sub(/\(.*/, "", call) }
    call !~ /^[a-z0-9_]+$/ { next }
    { n[call]++ }
    call == "openat" && !/O_CREAT|O_TMPFILE|O_WRONLY/ { next }
    call == "ioctl" && !/FICLONE,/ { next }
    call == "fcntl" && !/F_SETLEASE/ { next }
    { print call, n[call] }' "$1"
}

# Runs the command with a fault at each of these calls: SIGKILL just before the call, or the call
# fails (ENOSPC, EIO; "ENOSPC EIO" alternates). After each fault the check is called. A run without a fault must
# succeed, and the check then finds the complete destination.
fault_everywhere() { # <faults> <check> <command> [argument]...
  local faults check=$2 call n fault hits=0 i=0 left
  read -ra faults <<<"$1"
  shift 2
  strace -f -qq -o "$BATS_TEST_TMPDIR/calls" -e trace="$changes" -e signal=none -- "$@" >/dev/null 2>&1 \
    || fail "$* fails with status $? when traced"
  "$check" survived
  while read -r call n; do
    fault=${faults[i++ % ${#faults[@]}]}
    status=0
    strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:$(injection "$fault"):when=$n" -- "$@" \
      >/dev/null 2>&1 || status=$?
    ((status == 0 || (hits += 1)))
    "$check" "$fault at $call number $n, status $status"
    left=(.*.snapfork-tmp)
    [[ ! -e ${left[0]} ]] || fail "something is left after $fault at $call number $n: ${left[*]}"
  done < <(changing_calls "$BATS_TEST_TMPDIR/calls")
  ((hits >= 3)) || fail "only $hits places to hit $*"
}

injection() { # <fault>
  if [[ $1 == SIG* ]]; then printf 'signal=%s' "$1"; else printf 'error=%s' "$1"; fi
}

# On each filesystem: killed at every call, and each error at each call. XFS and btrfs use the same code path,
# ext4 another one.
each_fault_on() { # <filesystem> <check> <command> [argument]...
  local turns=('ENOSPC EIO') faults
  case $1 in
    btrfs) turns=('EIO ENOSPC') ;;
    ext4) turns=(ENOSPC EIO) ;;
  esac
  for faults in SIGKILL "${turns[@]}"; do
    fault_everywhere "$faults" "${@:2}"
  done
}

# ---- clones

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
  setfattr -n user.colour -v green "$1/disk"
}

# The destination is absent or complete. If it is absent, the next run completes it.
check_clone() { # <when>
  [[ -e dst ]] || reflink-clone -q src dst || fail "the next run fails, $1"
  "$random_tree" same src dst || fail "not the whole, $1"
  rm -rf dst
}

crash_clones_on() { # <filesystem>
  go_to "$1"
  make_tree src
  each_fault_on "$1" check_clone reflink-clone -q --durable src dst
  mv src/disk disk
  rm -rf src
  mv disk src
  each_fault_on "$1" check_clone reflink-clone -q --durable --dig src dst
}

@test "reflink-clone with a fault at any system call of a clone on XFS" { crash_clones_on xfs; }
@test "reflink-clone with a fault at any system call of a clone on btrfs" { crash_clones_on btrfs; }
@test "reflink-clone with a fault at any system call of a copy on ext4" { crash_clones_on ext4; }

# ---- --unshare

# The name always has the same contents, and at the end its own inode.
check_unshare() { # <when>
  cmp before memory || fail "contents lost, $1"
  cmp before other || fail "contents of the other lost, $1"
  reflink-clone -q --unshare --dig memory || fail "the next run fails, $1"
  [[ $(stat -c '%h %a' memory) == '1 644' ]] || fail "not unshared, $1: $(stat memory)"
  ln -f other memory
}

crash_unshare_on() { # <filesystem>
  go_to "$1"
  head -c 100K /dev/urandom >before
  head -c 100K /dev/zero >>before
  cp before other
  chmod 0444 other
  ln other memory
  each_fault_on "$1" check_unshare reflink-clone -q --durable --unshare --dig memory
}

@test "reflink-clone with a fault at any system call of --unshare --dig on XFS" { crash_unshare_on xfs; }
@test "reflink-clone with a fault at any system call of --unshare --dig on btrfs" { crash_unshare_on btrfs; }
@test "reflink-clone with a fault at any system call of --unshare --dig on ext4" { crash_unshare_on ext4; }

# ---- --replace

# Prints the contents of a file, or of the file of a tree. It starts no process, because it is called often.
says() { # <file or dir>
  local file=$1
  [[ ! -d $1 ]] || file=$1/file
  said=$(<"$file")
}

# The name has the old or the new contents, and after the next run the new ones.
check_replace() { # <when>
  says dst
  [[ $said == old || $said == new ]] || fail "neither the old one nor the new one, $1"
  reflink-clone -q --replace src dst || fail "the next run fails, $1"
  says dst
  [[ $said == new ]] || fail "not replaced, $1"
  rm -rf dst
  cp -a before dst
}

crash_replace_on() { # <filesystem>
  go_to "$1"
  mkdir src before before/deep
  printf new >src/file
  printf old | tee before/file >before/deep/file
  cp -a before dst
  each_fault_on "$1" check_replace reflink-clone -q --durable --replace src dst
  rm -rf src before dst
  printf new >src
  printf old | tee before >dst
  each_fault_on "$1" check_replace reflink-clone -q --durable --replace src dst
}

@test "reflink-clone with a fault at any system call of --replace on XFS" { crash_replace_on xfs; }
@test "reflink-clone with a fault at any system call of --replace on btrfs" { crash_replace_on btrfs; }
@test "reflink-clone with a fault at any system call of --replace on ext4" { crash_replace_on ext4; }

# ---- --defrag

# The source always keeps its contents, and the next run rewrites it. The clone is complete or absent.
check_defrag() { # <when>
  cmp before src || fail "the source is lost, $1"
  [[ ! -e dst ]] || cmp before dst || fail "half a clone, $1"
  rm -f dst
  reflink-clone -q --defrag --max-extents 9 src dst || fail "the next run fails, $1"
  cmp before src || fail "the source is lost by the next run, $1"
  [[ $(stat -c '%a %h' src) == '640 1' ]] || fail "not the source, $1"
  reflink-clone -q --clean . # the leftover of a run that had rewritten it
  rm -f dst src
  cp --sparse=always -p before src
}

crash_defrag_on() { # <filesystem>
  go_to "$1"
  truncate -s 160K before
  local i
  for ((i = 0; i < 10; i++)); do
    printf '%s' "$i" | dd of=before bs=8K seek="$i" conv=notrunc status=none
  done
  chmod 0640 before
  cp --sparse=always -p before src
  each_fault_on "$1" check_defrag reflink-clone -q --defrag --max-extents 9 src dst
}

@test "reflink-clone with a fault at any system call of --defrag on XFS" { crash_defrag_on xfs; }
@test "reflink-clone with a fault at any system call of --defrag on btrfs" { crash_defrag_on btrfs; }
@test "reflink-clone with a fault at any system call of --defrag on ext4" { crash_defrag_on ext4; }

# ---- --dig

check_dig() { # <when>
  cmp before file || fail "contents lost, $1"
  cp before file
}

crash_dig_on() { # <filesystem>
  go_to "$1"
  local i
  for ((i = 0; i < 4; i++)); do
    head -c 4096 /dev/urandom
    head -c 128K /dev/zero
  done >before
  cp before file
  each_fault_on "$1" check_dig reflink-clone -q --durable --dig file
}

@test "reflink-clone with a fault at any system call of --dig of a file on XFS" { crash_dig_on xfs; }
@test "reflink-clone with a fault at any system call of --dig of a file on btrfs" { crash_dig_on btrfs; }
@test "reflink-clone with a fault at any system call of --dig of a file on ext4" { crash_dig_on ext4; }

# ---- other cases

@test "SIGTERM has the effect of SIGKILL: no program handles it" {
  printf x >src
  strace -f -qq -o trace -e trace=rt_sigaction,rt_sigprocmask,signalfd4 reflink-clone -q src dst
  assert_contains "$(<trace)" SIGXFSZ # so it shows what is set
  refute_contains "$(<trace)" TERM
}

# On a filesystem without unnamed files, files use the temporary name as well.
@test "reflink-clone killed at any point on a filesystem without O_TMPFILE" {
  go_to ext4
  head -c 20000 /dev/urandom >src
  local call n status kills=0
  n=$(number_of openat O_TMPFILE reflink-clone -q src dst)
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
    no_temporaries
  done
  ((kills == 6)) || fail "only $kills kills"
  strace -f -qq -o /dev/null "${no_tmpfile[@]}" reflink-clone -q src dst
  check_clone 'survived'
  no_temporaries
}

@test "the temporary of another run is kept while it runs, and removed afterwards" {
  mkdir src .dst.snapfork-tmp
  touch src/new .dst.snapfork-tmp/old
  exec {lock}<.dst.snapfork-tmp
  flock -x "$lock"
  run --separate-stderr -1 reflink-clone src dst
  assert_contains "$stderr" 'another reflink-clone'
  [[ -e .dst.snapfork-tmp/old && ! -e dst ]]
  exec {lock}<&-
  reflink-clone -q src dst
  assert_equal "$(ls -A -I 'separate-stderr-*')" $'dst\nroot\nsrc'
  assert_equal "$(ls dst)" new
}
