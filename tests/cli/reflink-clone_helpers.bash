# SPDX-License-Identifier: Apache-2.0
# Functions for the tests of reflink-clone. Load after helpers and ../mounts.
# shellcheck shell=bash disable=SC2154,SC2119,SC2120 # output is set by run; sizes are given elsewhere

# The filesystems of each test file, unless it has its own list.
setup_file() {
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

# One filesystem of each type for all tests of a file, because a mount takes longer than most tests.
mount_each() { # [MiB of xfs, btrfs and ext4]
  local type
  ((EUID == 0)) || return 0
  for type in xfs btrfs ext4 tmpfs; do mount_fs "$type" "$BATS_FILE_TMPDIR/$type" "${1-400}"; done
}

# Changes to a new, empty directory on the filesystem.
on() { # <xfs|btrfs|ext4|tmpfs>
  local dir=$BATS_FILE_TMPDIR/$1
  mountpoint -q "$dir" || skip "needs root, to mount $1"
  dir=$dir/$BATS_TEST_NUMBER
  rm -rf "$dir"
  mkdir "$dir"
  cd "$dir" || return 1
}

can_reflink() { # <filesystem>
  [[ $1 == xfs || $1 == btrfs ]]
}

# Prints the standard error of a clone of that size: nothing, or the notice of a copy with its reason.
assert_only_copy_warning() { # <filesystem> <amount> <standard error>
  local expected=''
  can_reflink "$1" \
    || expected="reflink-clone: warning: $1 cannot share blocks: $2 are copied; 'reflink-clone --reflink=always' refuses to copy"
  assert_equal "$3" "$expected"
}

# 9 MiB long, data in [1,2) and [5,7) MiB and an odd end.
make_disk() { # <file>
  head -c 1M /dev/urandom | dd of="$1" bs=1M seek=1 conv=notrunc status=none
  head -c 2M /dev/urandom | dd of="$1" bs=1M seek=5 conv=notrunc status=none
  truncate -s 9437185 "$1"
}

# N blocks of data with holes between them, which are N extents.
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

# A guest with everything that a clone must keep, and with files that it must omit.
make_guest() { # <dir>
  mkdir -p "$1"/snapshots/snapshot-latest "$1"/empty "$1/odd"
  make_disk "$1/overlay.raw"
  head -c 2M /dev/urandom >"$1/snapshots/snapshot-latest/memory"
  printf state >"$1/snapshots/snapshot-latest/state"
  printf '{}\n' >"$1/metadata.json"
  : >"$1/nothing"
  ln "$1/overlay.raw" "$1/empty/the-same-disk"
  ln -s odd/../some/where "$1/link"
  ln -s "$(printf 'x%.0s' {1..300})" "$1/long-link"
  printf odd >"$1/odd/"$'new\nline'
  printf odd >"$1/odd/"$'\xff\xfe'
  printf odd >"$1/odd/-rf *"
  chmod 0640 "$1/metadata.json"
  chmod 4751 "$1/nothing"
  if ((EUID == 0)); then
    chmod 0555 "$1/empty"
    chown -h 1234:5678 "$1/metadata.json" "$1/odd" "$1/link"
  fi
  chmod 2750 "$1/odd"
  touch -h -d '2001-02-03 04:05:06.123456789' "$1/link" "$1/metadata.json"
  touch -d '2011-12-13 14:15:16.171819202' "$1/empty"
  setfattr -n user.colour -v green "$1/metadata.json" 2>/dev/null || true
  setfattr -n trusted.snapfork -v $'\x01\x02' "$1/snapshots" 2>/dev/null || true
  setfacl -m u:4321:rw,m::r "$1/metadata.json" 2>/dev/null || true
  setfacl -d -m g:8765:rwx "$1/odd" 2>/dev/null || true
}

# Prints the number, counted from 1, of the first call of SYSCALL whose strace line contains the text.
number_of() { # <syscall> <text> <command> [argument]...
  local call=$1 text=$2
  shift 2
  strace -f -qq -e trace="$call" -e signal=none -- "$@" 2>&1 >/dev/null | grep "$call(" | grep -nm1 -F -- "$text" | cut -d: -f1
}

# Prints a field of each record in $output, one per line.
records() { # <jq filter>
  jq -c "$1" <<<"$output"
}

# Prints a tree without contents: names, types, modes, owners, times, links, link targets, holes, attributes.
manifest() { # <dir>
  (
    cd "$1" || exit 1
    find . -printf '%y %m %U:%G %T@ %P -> %l\0' | sort -z | tr '\0' '\n'
    find . -type f -links +1 -printf '%n %P\n' | sort
    find . -print0 | sort -z | xargs -0 getfattr -h -d -m - --absolute-names 2>/dev/null
    find . ! -type l -print0 | sort -z | xargs -0 getfacl -n -p 2>/dev/null
  )
}

assert_same_tree() { # <dir> <dir>
  diff -a <(manifest "$1") <(manifest "$2") || fail "$1 and $2 differ"
  diff -r --no-dereference "$1" "$2"
}

blocks() { stat -c %b "$1"; }
inode() { stat -c %i "$1"; }

# Prints the number of extents that FIEMAP reports as shared, and the number of others.
shared_extents() { filefrag -v "$1" | grep -cE '^ *[0-9]+:.*shared' || true; }
own_extents() { filefrag -v "$1" | grep -E '^ *[0-9]+:' | grep -cv shared || true; }

no_temporaries() {
  local left
  left=$(find . -name '.*.snapfork-tmp')
  assert_equal "$left" ''
}

# Runs the command in the background and stops it after its Nth call of SYSCALL. Sets $program to its
# pid and $tracer to the pid of the process that exits with its status. Its output is in ./said.
stop_after() { # <syscall> <n> <command> [argument]...
  local call=$1 n=$2
  shift 2
  rm -f trace
  spawn_to said strace -f -o trace -e trace="$call" -e inject="$call:signal=SIGSTOP:when=$n" -- "$@"
  tracer=$spawned_pid
  wait_until 20 grep -qs 'stopped by SIGSTOP' trace
  program=$(sed -nE 's/^([0-9]+) +--- stopped by SIGSTOP.*/\1/p' trace)
}

# Waits until a process that opens a file waits for the lease that $program holds.
wait_for_lease_break() {
  wait_until 20 grep -qE "LEASE  BREAKING +[A-Z]+ +$program " /proc/locks
}

# Continues it, and returns its exit status.
go_on() {
  kill -CONT "$program"
  wait "$tracer"
}
