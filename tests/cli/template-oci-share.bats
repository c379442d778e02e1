#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# template-oci on real filesystems: blocks that are shared with a local template, full disks, crashes, memory.
# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; output, stderr and status are set by run

load helpers
load ../mounts
load snapshot-meta_helpers
load template-oci_helpers

setup() { oci_setup; }
teardown() {
  common_teardown
  unmount_all
}

# A store on a new filesystem.
store_on() { # <xfs|btrfs|ext4> [MiB]
  mount_fs "$1" "$BATS_TEST_TMPDIR/fs" "${2-400}"
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/root
  mkdir -p "$SNAPFORK_ROOT/guests"
  cd "$BATS_TEST_TMPDIR/fs" || return 1
}

shared_bytes() { # <file>
  filefrag -v "$1" | awk -F'[:.]+' '/shared/ { sum += $6 } END { print sum * 4096 }'
}

# A template whose memory has 1024 chunks with holes between them.
make_scattered_template() { # <id>
  "$HELPERS/write-vmstate" state 10.0.0 512
  truncate -s 512M memory
  python3 - <<'END'
with open('memory', 'r+b') as file:
    for chunk in range(0, 2048, 2):
        file.seek(chunk * 262144)
        file.write(b'%8d' % chunk * 512)
END
  snapshot-meta init -q "$1" --state state --memory memory
  chmod a-w "$(memory_of "$1")"
  snapshot-meta promote -q "$1"
}

shares_with_a_local_template() { # <filesystem>
  store_on "$1"
  make_template v1 1
  make_template v2 2
  template-oci export -q v2 layout
  rm -rf "$SNAPFORK_ROOT/guests/v2.saved"
  cp -R "$(guest_dir v2)" saved
  rm -rf "$(guest_dir v2)"
  run -0 --separate-stderr template-oci import new layout --json
  # Chunks 20 to 31 of the memory are a run of 3 MiB; the run of chunks 0 to 2 is shorter than 1 MiB.
  assert_equal "$(json .shared_with)" v1
  assert_equal "$(json .shared_bytes)" $((12 * 262144))
  cmp "$(memory_of new)" saved/snapshots/snapshot-latest/memory
  snapshot-meta verify --deep new
  run -0 --separate-stderr template-oci import other layout --json --share never
  assert_equal "$(json .shared_bytes)" 0
  cmp "$(memory_of other)" "$(memory_of new)"
  run -0 --separate-stderr template-oci import third layout --json --share v1
  assert_equal "$(json .shared_with)" v1
}

@test "an import on XFS shares runs of 1 MiB with a local template" { shares_with_a_local_template xfs; }
@test "an import on btrfs shares runs of 1 MiB with a local template" { shares_with_a_local_template btrfs; }

@test "a filesystem without reflinks: an import copies, and --share ID is refused" {
  store_on ext4
  make_template base
  template-oci export -q base layout
  run -0 --separate-stderr template-oci import a layout --json
  assert_equal "$(json .shared_with)" null
  refuse_import 3 'cannot share blocks' layout --share base
}

@test "an import does not share with a template that another process has locked exclusively" {
  store_on xfs
  make_template base
  template-oci export -q base layout
  spawn template-lock base -- tail -f /dev/null
  wait_until_held base
  run -0 --separate-stderr template-oci import a layout --json
  assert_equal "$(json .shared_with)" null
  run -1 --separate-stderr template-oci import b layout --share base
  assert_contains "$stderr" "'base'"
}

@test "memory in many pieces gets at most 1000 extents, with and without a template to share with" {
  store_on xfs 900
  make_scattered_template base
  template-oci export -q base layout
  template-oci import -q a layout --share never
  (($(jq .extents "$(guest_dir a)/template/image.json") <= 1000))
  cmp "$(memory_of base)" "$(memory_of a)"
  template-oci import -q b layout --share a
  (($(jq .extents "$(guest_dir b)/template/image.json") <= 1000))
  cmp "$(memory_of base)" "$(memory_of b)"
}

# Leaves that many MiB free on the filesystem of the store.
leave_free() { # <MiB>
  fallocate -l $(($(stat -f -c '%f * %S' .) - ($1 << 20))) fill
}

@test "the zeros of holes that an import does not keep count as needed space" {
  store_on xfs 900
  make_scattered_template base
  template-oci export -q base layout
  leave_free 320
  # 1024 chunks, and 524 holes of one chunk.
  run -5 --separate-stderr template-oci import new layout --share never
  [[ $stderr =~ 'it needs 387 MiB, and '[0-9]+' MiB are free in' ]] || fail "$stderr"
  [[ -z $(ls -A "$SNAPFORK_ROOT/.snapfork/tmp") ]]
}

@test "a template that is too large for the filesystem is refused with both numbers, before data is written" {
  store_on xfs 300
  make_template base
  template-oci export -q base layout
  head -c 1G /dev/zero >fill 2>/dev/null || true
  run -5 --separate-stderr template-oci import new layout --share never
  assert_contains "$stderr" "template-oci: cannot "
  [[ ! -e $(guest_dir new) ]]
  rm fill
  [[ -z $(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1) ]]
  template-oci import -q new layout
  same_template base new
}

@test "an export to a full disk fails, and the earlier version stays" {
  store_on xfs 300
  make_template v1 1
  make_template v2 2
  mount_fs tmpfs "$BATS_TEST_TMPDIR/small" 3
  template-oci export -q v1 "$BATS_TEST_TMPDIR/small/layout"
  head -c 10M /dev/zero >"$BATS_TEST_TMPDIR/small/fill" 2>/dev/null || true
  find "$BATS_TEST_TMPDIR/small/layout" -type f -exec sha256sum {} + | sort >before
  run -5 --separate-stderr template-oci export v2 "$BATS_TEST_TMPDIR/small/layout"
  assert_contains "$stderr" 'No space left on device'
  find "$BATS_TEST_TMPDIR/small/layout" -type f -exec sha256sum {} + | sort >after
  cmp before after
  template-oci import -q new "$BATS_TEST_TMPDIR/small/layout"
  same_template v1 new
}

# Kills the command before each of its calls of SYSCALL, until it is not killed any longer.
kill_everywhere() { # <check function> <syscall> <command>...
  local check=$1 call=$2 n
  shift 2
  for ((n = 1; n < 200; n++)); do
    run kill_at "$call" "$n" "$@"
    [[ $status == 137 || $status == 0 ]] || fail "$call $n: status $status"
    "$check" "$status" "$call $n"
    ((status)) || return 0
  done
  fail "$call: still killed after $n calls"
}

is_absent_or_whole() { # <status> <what>
  if [[ -e $SNAPFORK_ROOT/guests/new ]]; then
    same_template base new || fail "$2"
    snapshot-meta verify --deep new >/dev/null || fail "$2"
    snapshot-meta trash new >/dev/null
  fi
  snapshot-meta purge new
  assert_equal "$(ls -A "$SNAPFORK_ROOT/.snapfork/tmp")" ''
}

@test "an import killed before any file is written, flushed or renamed leaves nothing, or the whole template" {
  require_cmd strace
  make_template base
  template-oci export -q base layout
  local call
  for call in mkdir ftruncate fsync renameat2 renameat,rename fchmod; do
    kill_everywhere is_absent_or_whole "$call" template-oci import -q new layout
  done
}

@test "fsck removes what a killed import of a tar left" {
  require_cmd strace
  make_template base
  template-oci export -q base - >tar
  # shellcheck disable=SC2094 # it is only read
  run -137 kill_at fsync 1 template-oci import -q new - <tar
  [[ -d $SNAPFORK_ROOT/.snapfork/tmp/oci-import.new && -d $SNAPFORK_ROOT/.snapfork/tmp/oci-layout.new ]]
  run snapshot-meta fsck --repair
  assert_equal "$(ls -A "$SNAPFORK_ROOT/.snapfork/tmp")" ''
  template-oci import -q new - <tar
  same_template base new
}

is_old_or_new_version() { # <status> <what>
  template-oci import -q "check" layout || fail "$2"
  cmp -s "$(memory_of check)" "$(memory_of v1)" || same_template v2 check || fail "$2"
  snapshot-meta trash check >/dev/null
  snapshot-meta purge check
  rm -rf layout
  cp -R saved layout
}

@test "an export of a later version killed at any point leaves the old version or the new one" {
  require_cmd strace
  make_template v1 1
  make_template v2 2
  template-oci export -q v1 layout
  cp -R layout saved
  local call
  for call in linkat rename,renameat,renameat2 unlinkat; do
    kill_everywhere is_old_or_new_version "$call" template-oci export -q v2 layout
  done
}

@test "64 GiB of sparse memory are exported and imported with less than 256 MiB of memory" {
  require_cmd prlimit
  "$HELPERS/write-vmstate" state 10.0.0 65536
  truncate -s 64G memory
  python3 - <<'END'
with open('memory', 'r+b') as file:
    for gib in range(64):
        file.seek(gib << 30)
        file.write(b'%16d' % gib * 65536)
    file.seek((64 << 30) - 4096)
    file.write(b'x' * 4096)
END
  snapshot-meta init -q base --state state --memory memory
  chmod a-w "$(memory_of base)"
  snapshot-meta promote -q base 2>/dev/null
  # RLIMIT_DATA counts all private memory that can be written, with the stacks of the threads.
  run -0 prlimit --data=$((256 << 20)) --stack=$((1 << 20)) -- template-oci export -q base layout
  run -0 prlimit --data=$((256 << 20)) --stack=$((1 << 20)) -- template-oci import new layout
  if (($(awk '/^MemTotal:/ { print $2 }' /proc/meminfo) < 64 << 20)); then
    assert_contains "$output" "warning: 'new': its guest has 65536 MiB of memory, and this host has "
  fi
  assert_equal "$(jq -r .digest "$(guest_dir new)/template/image.json")" \
    "$(jq -r .digest "$(guest_dir base)/template/image.json")"
  (($(stat -c %b "$(memory_of new)") * 512 < 100 << 20))
}
