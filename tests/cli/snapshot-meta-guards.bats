#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What snapshot-meta refuses: snapshots into memory that other guests use, and forbidden changes of state.
# shellcheck disable=SC2030,SC2031,SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# ---- guard-create

allowed() { # <guest> <type>
  run --separate-stderr -0 snapshot-meta guard-create "$1" --type "$2"
  assert_equal "$output" ''
}

refused() { # <guest> <type> <part of the reason> <part of the way out>
  run --separate-stderr -1 snapshot-meta guard-create "$1" --type "$2"
  assert_contains "$stderr" "cannot write a snapshot of '$1': "
  assert_contains "$stderr" "$3"
  assert_contains "$stderr" "$4"
}

@test "guard-create allows a snapshot into memory that no other guest shares" {
  init_guest a
  allowed a full
  assert_equal "$stderr" ''
  allowed a diff
  assert_equal "$stderr" ''
  run -0 snapshot-meta guard-create --json a --type diff
  assert_equal "$(json '[.type, .id, .snapshot_type, .allowed, .reason, .memory_links] | map(tostring) | join(" ")')" \
    'guard-create a diff true null 1'
  run --separate-stderr -2 snapshot-meta guard-create a
  run --separate-stderr -2 snapshot-meta guard-create a --type other
  run --separate-stderr -1 snapshot-meta guard-create nobody --type full
}

@test "guard-create refuses a template, sealed memory, and memory with several links" {
  init_template a
  refused a full 'it is a template' 'snapfork demote a'
  make_fork a f
  for type in full diff; do
    refused f "$type" 'has 2 links' 'reflink-clone --unshare'
  done
  reflink-clone --unshare "$(memory_of f)"
  allowed f full
  init_guest b
  template-lock seal b
  refused b full 'is sealed' 'template-lock unseal b'
  template-lock unseal b
  allowed b full
  run --separate-stderr -1 snapshot-meta guard-create --json a --type full
  assert_equal "snapshot-meta: $(json .reason)" "$stderr"
}

has_open() { # <pid> <file>
  [[ -n $(find "/proc/$1/fd" -lname "$2") ]]
}

@test "guard-create refuses memory that a page server or another process has open" {
  init_guest a
  spawn uffd-serve --mem "$(memory_of a)" --socket "$PWD/s.sock"
  wait_until 10 test -S s.sock
  # On a reflink filesystem the page server serves a private copy.
  if has_open "$spawned_pid" "$(memory_of a)"; then
    refused a full 'a page server serves its memory file' 'write to another name'
  fi
  kill "$spawned_pid"
  wait "$spawned_pid" || true
  allowed a full
  spawn tail -f "$(memory_of a)"
  wait_until 10 has_open "$spawned_pid" "$(memory_of a)"
  refused a diff 'another process has its memory file open' "$spawned_pid (tail)"
  # The guest's own VMM maps the memory file.
  snapshot-meta set a "HypervisorPID:=$spawned_pid"
  allowed a diff
}

@test "guard-create refuses a Diff without a base" {
  init_guest a
  mv "$(memory_of a)" "$(memory_of a).zst"
  refused a diff 'the base of a Diff is compressed (memory.zst)' 'decompress it'
  rm "$(memory_of a).zst"
  refused a diff 'a Diff needs a memory file as its base' 'write a Full snapshot'
  allowed a full
  truncate -s 1M "$(memory_of a)"
  refused a diff 'has 1 MiB instead of 2 MiB' 'write a Full snapshot'
  allowed a full
}

@test "guard-create finds the base of a running guest of hypeman" {
  init_guest a
  mv "$(guest_dir a)/snapshots/snapshot-latest" "$(guest_dir a)/snapshots/snapshot-base"
  allowed a diff
  ln "$(guest_dir a)/snapshots/snapshot-base/memory" other
  refused a diff 'has 2 links' "snapshot-base/memory"
}

@test "guard-create warns about the cost and the missing pages of a snapshot" {
  init_guest a
  snapshot-meta set a FirecrackerUFFDSessionID=a
  allowed a full
  assert_contains "$stderr" 'a Full snapshot reads all memory, and the page server'
  allowed a diff
  assert_equal "$stderr" ''
  snapshot-meta set a HotPagesPath=/hot
  allowed a diff
  assert_contains "$stderr" 'pages prefetched from the hot list'
  run -0 snapshot-meta guard-create -q --json a --type diff
  assert_equal "$(json '.warnings | length')" 1

  init_guest b balloon=1
  allowed b full
  assert_equal "$stderr" ''
  allowed b diff
  assert_contains "$stderr" "the guest's balloon has discarded"
  "$HELPERS/write-vmstate" "$(state_of b)" 7.0.0 2
  allowed b diff
  assert_contains "$stderr" 'not known whether the guest has a balloon'

  init_guest c
  "$HELPERS/write-vmstate" "$(state_of c)" 8.0.0 3584
  truncate -s 3584M "$(memory_of c)"
  allowed c diff
  assert_contains "$stderr" 'before Firecracker 1.15, a Diff of a guest with more than 3 GiB may be wrong'
  "$HELPERS/write-vmstate" "$(state_of c)" 9.0.0 3584
  allowed c diff
  assert_equal "$stderr" ''
}

# ---- verify: each problem, and only that problem

mismatch() { # <guest> <a problem that verify reports>...
  local guest=$1 text
  shift
  run --separate-stderr -1 snapshot-meta verify "$guest"
  assert_equal "$output" ''
  assert_equal "$(grep -c . <<<"$stderr")" "$#"
  for text in "$@"; do assert_contains "$stderr" "'$guest': $text"; done
  run -1 --separate-stderr snapshot-meta verify --json "$guest"
  assert_equal "$(json '[.ok, (.problems | length)] | map(tostring) | join(" ")')" "false $#"
}

in_order() { # <guest>
  assert_equal "$(snapshot-meta verify "$1")" ok
}

@test "verify reports problems of the state file" {
  init_guest a
  printf X | dd of="$(state_of a)" bs=1 seek=500 conv=notrunc status=none
  mismatch a 'the CRC of its state file is wrong'
  "$HELPERS/write-vmstate" "$(state_of a)" 7.0.0 2
  mismatch a "the snapshot version '7.0.0' of its state file is not known"
  "$HELPERS/write-vmstate" "$(state_of a)" 10.0.0 3
  mismatch a 'its memory file has 2 MiB, but its state file requires 3 MiB'
  "$HELPERS/write-vmstate" "$(state_of a)" 10.0.0 2
  in_order a
  rm "$(state_of a)"
  mismatch a 'it has no state file'
}

@test "verify reports problems of the disks" {
  echo disk >disk.raw
  truncate -s 3M pmem.raw
  dir=$(guest_dir a)
  make_snapshot drive=/d/disk.raw pmem=/d/pmem.raw pmem-bytes=4194304
  snapshot-meta init a --state state --memory memory --disk disk.raw=/d/disk.raw --disk pmem.raw=/d/pmem.raw
  replace_state a 10.0.0 drive=/d/disk.raw "drive=$dir/own.raw" pmem=/d/pmem.raw pmem-bytes=4194304
  mismatch a "its drive '$dir/own.raw' is missing"
  echo own >"$dir/own.raw"
  in_order a
  mv "$dir/disk.raw" away
  mismatch a "its disk 'disk.raw' is missing" "its drive '/d/disk.raw' is missing"
  mkdir "$dir/disk.raw"
  mismatch a "its disk 'disk.raw' is not a regular file"
  rmdir "$dir/disk.raw"
  : >"$dir/disk.raw"
  mismatch a "its disk 'disk.raw' is empty" "its disk 'disk.raw' has 0 bytes, but it had 5 when the snapshot was published"
  mv away "$dir/disk.raw"
  in_order a
  echo more >>"$dir/disk.raw"
  mismatch a "its disk 'disk.raw' has 10 bytes, but it had 5 when the snapshot was published"
  truncate -s 5 "$dir/disk.raw"
  snapshot-meta set a 'snapfork.disks:=[{"file":"disk.raw","embedded_path":"/d/disk.raw"},{"file":"pmem.raw","embedded_path":"/d/pmem.raw"},{"file":"own.raw","embedded_path":"/d/other"}]'
  mismatch a "its state file has no path '/d/other', which snapfork.disks has for 'own.raw'"
  snapshot-meta set a 'snapfork.disks:=[{"file":"disk.raw","embedded_path":"/d/disk.raw"},{"file":"pmem.raw","embedded_path":"/d/pmem.raw"}]'
  truncate -s 5M "$dir/pmem.raw"
  mismatch a "its pmem file '/d/pmem.raw' has 5242880 bytes, but its state file requires 4194304"
}

@test "verify reports other links of the memory" {
  init_guest a
  ln "$(memory_of a)" other
  mismatch a 'its memory file has 2 links, but it is not the memory file of its template'
  rm other
  init_template b
  make_fork b f g >/dev/null
  in_order b
  in_order f
  ln "$(memory_of b)" other
  mismatch b "its memory file has 4 links, but it and its forks have only 3; 'find -inum"
  rm other
  # A fork that is being made, and a fork that is being deleted.
  snapshot-meta fork-begin b h >/dev/null
  clone b h link
  snapshot-meta trash g >/dev/null
  in_order b
}

@test "verify reports forks and index entries that do not match" {
  init_template a
  make_fork a f
  echo '{' >"$(guest_dir f)/metadata.json"
  mismatch a "its fork 'f' cannot be read: "
  snapshot-meta fsck --repair >/dev/null
  in_order a
  init_guest b
  : >"$(guest_dir a)/template/forks/b"
  mismatch a "its index has 'b', which is not a fork of it"
  rm "$(guest_dir a)/template/forks/"?
  mismatch f "the index of its template 'a' does not have it"
  rm -r "$(guest_dir a)"
  mismatch f "its template 'a' does not exist"
}

@test "verify reports an invalid hot list" {
  init_template a
  hot=$(guest_dir a)/template/hot.hpl
  printf 'HPL1\2\0\0\0\x80\x20' >"$hot" # pages 0 and 1
  in_order a
  printf 'HPL1\2\0\0\0\x80\x80\x80\x01' >"$hot"
  mismatch a "its hot list '$hot' is not for this memory: entry 1 is at byte 2097152, and the memory has 2097152 bytes; the list is for a larger image"
  printf 'HPL1\3\0\0\0\x80\x20' >"$hot"
  mismatch a "its hot list '$hot' is not for this memory: at byte 5: only 5 bytes follow for 3 entries"
  { printf 'HPL1\x81\4' && head -c 1026 /dev/zero; } >"$hot"
  mismatch a "its hot list '$hot' is not for this memory: the list has 513 entries, more than 512 pages"
  for junk in junk HPL0; do
    echo $junk >"$hot"
    mismatch a "its hot list '$hot' is not for this memory: the file starts with '$junk', not with HPL1"
  done
  printf 'HPL1\1\0\x80\x80\0' >"$hot" # two spellings of one number: uffd-serve refuses them, too
  mismatch a "its hot list '$hot' is not for this memory: at byte 9: malformed number for an offset"
  printf 'HPL1\1\0\1' >"$hot"
  mismatch a "its hot list '$hot' is not for this memory: entry 0 is at byte 1, which is not a multiple of 4096"
  rm "$hot"
  snapshot-meta set a HotPagesPath=/no/where.hpl
  mismatch a "its hot list '/no/where.hpl' is missing"
}

@test "verify reports problems of the seal, image.json and digest" {
  init_template a
  chmod u+w "$(memory_of a)"
  mismatch a 'its memory is not sealed: it is writable (mode 0'
  printf x | dd of="$(memory_of a)" bs=1 seek=1000000 conv=notrunc status=none
  chmod a-w "$(memory_of a)"
  mismatch a "its memory file was modified after it was promoted; 'snapshot-meta verify --deep' compares the contents"
  run --separate-stderr -1 snapshot-meta verify --deep a
  assert_contains "$stderr" "'a': its memory changed after it was promoted: the digest differs"
  sed -i 's/"memory_bytes": 2097152/"memory_bytes": 4194304/' "$(guest_dir a)/template/image.json"
  mismatch a 'its template/image.json is for 4194304 bytes of memory'
  rm "$(guest_dir a)/template/image.json"
  mismatch a 'it has no template/image.json; promote it again'
}

# ---- changes of state (the table in the man page): each refusal has a reason and advice

refuses() { # <reason> <way out> <command>...
  local reason=$1 way=$2 before
  shift 2
  before=$(store_picture)
  run --separate-stderr -1 "$@"
  assert_equal "$output" ''
  assert_contains "$stderr" "$reason"
  assert_contains "$stderr" "$way"
  assert_equal "$(store_picture)" "$before"
}

@test "every forbidden change of state is refused with the reason and advice" {
  init_guest standby
  init_template template
  make_fork template fork >/dev/null
  init_template free
  make_fake_guest stopped
  rm -r "$(guest_dir stopped)/snapshots"
  init_guest broken
  truncate -s 1M "$(memory_of broken)"
  init_guest running
  snapshot-meta set running "HypervisorPID:=$$" "HypervisorStartTime:=$(awk '{print $22}' /proc/$$/stat)"

  refuses 'it is Stopped' 'it must be in Standby' snapshot-meta promote stopped
  refuses 'it is Running' 'it must be in Standby' snapshot-meta promote running
  refuses 'it is Broken (its memory file has 1 MiB, but its state file requires 2 MiB)' 'with a whole snapshot' \
    snapshot-meta promote broken
  refuses 'not sealed' 'template-lock seal standby' snapshot-meta promote standby

  refuses '1 fork live (fork)' 'delete it first' snapshot-meta demote template
  for id in standby running broken stopped fork; do
    refuses 'cannot demote' 'it is not a template' snapshot-meta demote "$id"
  done

  refuses '1 fork live (fork)' 'delete it first' snapshot-meta trash template
  refuses "it is Running: process $$ (" "end that process first ('snapfork delete --stop running')" snapshot-meta trash running

  refuses 'a template is never restored' 'demote it first (snapfork demote free)' template-lock guard --for restore free
  refuses '1 fork live (fork)' 'then demote it' template-lock guard --for restore template

  for id in stopped running broken; do
    refuses "cannot fork '$id': it is " 'it must be in Standby' snapshot-meta fork-begin "$id" new
  done
  refuses 'the guest already exists' "'fork'" snapshot-meta fork-begin standby fork

  # The refusal reports the holder of the lock.
  spawn template-lock --exclusive standby -- tail -f /dev/null
  wait_until_held standby
  run --separate-stderr -1 template-lock --no-wait standby -- true
  assert_contains "$stderr" "$spawned_pid"

  # The allowed changes succeed.
  snapshot-meta demote free
  snapshot-meta trash broken
  snapshot-meta trash fork
  snapshot-meta fork-end template fork
  snapshot-meta demote template
}

@test "forks, fork_count and mem_locked count a fork that cannot be read" {
  init_template a
  make_fork a f g >/dev/null
  assert_equal "$(snapshot-meta forks a)" $'f\ng'
  echo torn >"$(guest_dir g)/metadata.json"
  run --separate-stderr -1 snapshot-meta forks a
  assert_equal "$output" f
  assert_contains "$stderr" "cannot read fork 'g' of 'a': "
  run -0 snapshot-meta show a
  assert_equal "$(json '[.fork_count, .mem_locked] | map(tostring) | join(" ")')" '2 true'
  refuses '1 fork unreadable (g), which may be live' 'delete them first' snapshot-meta demote a
  init_guest b
  run -0 snapshot-meta show b
  assert_equal "$(json '[.fork_count, .mem_locked] | map(tostring) | join(" ")')" '0 false'
  run -0 snapshot-meta show f
  assert_equal "$(json .mem_locked)" true
}
