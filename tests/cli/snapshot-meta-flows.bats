#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The steps of snapshot-meta's flows: init, promote, demote, trash.
# shellcheck disable=SC2154,SC2030,SC2031 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# ---- init

@test "init moves the files into a guest" {
  echo one >disk-1.raw
  echo two >disk-2.raw
  make_snapshot drive=/d/disk-1.raw "drive=$PWD/disk-2.raw"
  inode=$(stat -c %i memory)
  run -0 snapshot-meta init a --name 'my guest' --state state --memory memory \
    --disk disk-1.raw=/d/disk-1.raw --disk disk-2.raw
  assert_equal "$output" ''
  assert_equal "$(ls)" root
  assert_equal "$(stat -c '%i %h' "$(memory_of a)")" "$inode 1"
  assert_equal "$(cat "$(guest_dir a)/disk-2.raw")" two
  assert_equal "$(snapshot-meta state a)" Standby
  assert_equal "$(snapshot-meta get a Name)" 'my guest'
  assert_equal "$(snapshot-meta get a Size)" 2097152
  assert_equal "$(snapshot-meta get a snapfork.disks | jq -c 'map(del(.mtime_ns))')" \
    "[{\"file\":\"disk-1.raw\",\"embedded_path\":\"/d/disk-1.raw\",\"bytes\":4},{\"file\":\"disk-2.raw\",\"embedded_path\":\"$PWD/disk-2.raw\",\"bytes\":4}]"
  assert_equal "$(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
}

@test "init refuses files that do not match, and changes nothing" {
  echo disk >disk.raw
  init_guest taken
  make_snapshot drive=/d/one
  cp state good-state
  before=$(store_picture && sha256sum ./*.raw state memory)
  refused() { # <status> <message> <argument>...
    local status=$1 message=$2
    shift 2
    run --separate-stderr "-$status" snapshot-meta init "$@"
    assert_contains "$stderr" "$message"
    assert_equal "$(store_picture && sha256sum ./*.raw state memory)" "$before"
  }
  refused 1 "'taken'" taken --state state --memory memory
  refused 2 '--memory FILE is required' a --state state
  refused 2 'too few operands' --state state --memory memory
  refused 4 'has no drive' a --state state --memory memory --disk disk.raw
  refused 4 "has no drive '/d/two'" a --state state --memory memory --disk disk.raw=/d/two
  refused 5 "'none.raw'" a --state state --memory memory --disk none.raw=/d/one
  refused 2 'cannot keep its name' a --state state --memory memory --disk disk.raw=/d/one --disk ./disk.raw=/d/one
  refused 5 "'none'" a --state none --memory memory
  refused 5 "'none'" a --state state --memory none
  refused 4 'not a regular file' a --state state --memory .
  refused 4 'does not start with the magic number' a --state disk.raw --memory memory
  truncate -s 11M large
  refused 4 'a state file has at most 10485760 bytes; it may be the memory file' a --state large --memory state
  : >metadata.json
  refused 2 'the name is already used' a --state state --memory memory --disk metadata.json=/d/one
  rm metadata.json
  truncate -s 1M memory
  before=$(store_picture && sha256sum ./*.raw state memory)
  refused 4 "'memory': it has 1048576 bytes, but 'state' requires 2097152" a --state state --memory memory
  truncate -s 2M memory
  printf X | dd of=state bs=1 seek=300 conv=notrunc status=none
  before=$(store_picture && sha256sum ./*.raw state memory)
  refused 4 'CRC is wrong' a --state state --memory memory
  refused 4 'CRC is wrong' --dry-run a --state state --memory memory
}

@test "init refuses a guest with a vhost-user device" {
  make_snapshot vhost-user=/run/back-end.sock
  run --separate-stderr -3 snapshot-meta init a --state state --memory memory
  assert_contains "$stderr" "cannot import 'state': it has a vhost-user device, '/run/back-end.sock'"
  [[ ! -e $(guest_dir a) && -e state && -e memory ]]
}

@test "init --dry-run checks and changes nothing" {
  make_snapshot
  run -0 snapshot-meta init --dry-run a --state state --memory memory
  assert_equal "$output" "would move 2 files into $(guest_dir a)"
  [[ -e state && -e memory && ! -e $(guest_dir a) ]]
}

@test "init exits with 3 for a file on another filesystem" {
  require_root
  make_snapshot
  mkdir other
  mount -t tmpfs none other
  mv memory other/memory
  run --separate-stderr -3 snapshot-meta init a --state state --memory other/memory
  umount other
  assert_contains "$stderr" 'they are on different filesystems; copy it there first'
  [[ -e state && ! -e $(guest_dir a) ]]
}

# ---- promote and demote

@test "promote writes image.json and sets IsTemplate; a second promote does nothing" {
  init_guest a
  run --separate-stderr -1 snapshot-meta promote a
  assert_contains "$stderr" 'not sealed: it is writable (mode 0'
  assert_contains "$stderr" "template-lock seal a"
  chmod a-w "$(memory_of a)"
  run -0 --separate-stderr snapshot-meta promote a
  assert_equal "$output" ''
  assert_equal "$(snapshot-meta state a)" Template
  image=$(guest_dir a)/template/image.json
  assert_equal "$(jq -c '[.v, .memory_bytes, .page_size, .data_pages, .zero_pages, .zero_runs]' "$image")" \
    '[1,2097152,4096,4,508,[[4,508]]]'
  [[ $(jq -r .digest "$image") == xxh3-128:???????????????????????????????? ]]
  [[ -d $(guest_dir a)/template/forks ]]
  inode=$(stat -c %i "$image")
  snapshot-meta promote a
  assert_equal "$(stat -c %i "$image")" "$inode"
  # promote replaces an invalid image.json.
  echo junk >"$image"
  run -0 --separate-stderr snapshot-meta promote a
  assert_equal "$(snapshot-meta verify --deep a)" ok
}

@test "init refuses a disk whose name forks do not copy" {
  local name
  for name in x.sock d.lz4.tmp d.zst.tmp; do
    make_snapshot drive=/d/one
    echo disk >"$name"
    run --separate-stderr -2 snapshot-meta init a --state state --memory memory --disk "$name=/d/one"
    assert_contains "$stderr" 'forks do not copy files with such names; rename it'
    [[ -f $name && ! -e $(guest_dir a) ]]
  done
}

@test "every verb refuses a store whose path is not UTF-8 and prints the path" {
  make_snapshot
  export SNAPFORK_ROOT=$PWD/$'st\xf6re'
  mkdir "$SNAPFORK_ROOT"
  run --separate-stderr -2 snapshot-meta init a --state state --memory memory
  assert_contains "$stderr" 'its path is not UTF-8; rename it, or set SNAPFORK_ROOT to another'
  assert_equal "$(ls -A "$SNAPFORK_ROOT")" ''
}

@test "a failed promote removes the template directory" {
  require_cmd strace
  init_guest a
  chmod a-w "$(memory_of a)"
  run --separate-stderr -5 strace -f -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO snapshot-meta promote a
  [[ ! -e $(guest_dir a)/template ]]
  snapshot-meta promote a
  assert_equal "$(snapshot-meta state a)" Template
}

@test "promote refuses memory with several links, and incomplete snapshots" {
  init_guest a
  chmod a-w "$(memory_of a)"
  ln "$(memory_of a)" second
  run --separate-stderr -1 snapshot-meta promote a
  assert_contains "$stderr" 'its inode has 2 links'
  rm second
  mv "$(memory_of a)" "$(memory_of a).zst"
  run --separate-stderr -1 snapshot-meta promote a
  assert_contains "$stderr" 'its memory is compressed (memory.zst)'
  run --separate-stderr -1 snapshot-meta fork-begin a b
  assert_contains "$stderr" 'its memory is compressed (memory.zst)'
  mv "$(memory_of a).zst" "$(memory_of a)"
  printf X | dd of="$(state_of a)" bs=1 seek=300 conv=notrunc status=none
  run --separate-stderr -1 snapshot-meta promote a
  assert_contains "$stderr" "it is Broken (the CRC of its state file is wrong)"
  make_fake_guest empty
  rm -r "$(guest_dir empty)/snapshots"
  run --separate-stderr -1 snapshot-meta promote empty
  assert_contains "$stderr" 'it is Stopped'
}

@test "demote clears IsTemplate and removes image.json, but not while a fork is live" {
  init_template a
  make_fork a f1 f2
  run --separate-stderr -1 snapshot-meta demote a
  assert_contains "$stderr" "2 forks live (f1, f2)"
  assert_equal "$(snapshot-meta state a)" Template
  for id in f1 f2; do
    snapshot-meta trash "$id"
    snapshot-meta fork-end a "$id"
  done
  run -0 snapshot-meta demote a
  assert_equal "$(snapshot-meta state a)" Standby
  [[ ! -e $(guest_dir a)/template ]]
  chmod u+w "$(memory_of a)"
  run --separate-stderr -1 snapshot-meta demote a
  assert_contains "$stderr" 'it is not a template'
}

@test "demote is refused if a fork cannot be read" {
  init_template a
  make_fork a f
  echo '{' >"$(guest_dir f)/metadata.json"
  run --separate-stderr -1 snapshot-meta demote a
  assert_contains "$stderr" 'unreadable'
  run --separate-stderr -1 snapshot-meta trash a
  run --separate-stderr -1 snapshot-meta forks a
  assert_contains "$stderr" "cannot read fork 'f'"
}

# ---- trash

@test "trash moves a guest out of the store and prints its template" {
  init_template a
  make_fork a f
  trash=$SNAPFORK_ROOT/.snapfork/trash
  run --separate-stderr -1 snapshot-meta trash a
  assert_contains "$stderr" "cannot delete template 'a': 1 fork live (f)"
  run -0 snapshot-meta trash --dry-run f
  assert_equal "$output" "would move 'f' to $trash/f"
  run -0 snapshot-meta trash f
  assert_equal "$output" "$trash/f"$'\t'a
  [[ ! -e $(guest_dir f) && -e $trash/f/metadata.json ]]
  # trash continues an interrupted delete.
  run -0 snapshot-meta trash --json f
  assert_equal "$(json '.path + " " + .template')" "$trash/f a"
  snapshot-meta fork-end a f
  run -0 snapshot-meta trash a
  assert_equal "$output" "$trash/a"$'\t'
}

@test "trash refuses a running guest" {
  init_guest a
  snapshot-meta set a "HypervisorPID:=$$" "HypervisorStartTime:=$(awk '{print $22}' /proc/$$/stat)"
  run --separate-stderr -1 snapshot-meta trash a
  assert_contains "$stderr" "it is Running: process $$ ("
  snapshot-meta set a 'HypervisorStartTime:=1'
  snapshot-meta trash a
}

@test "trash accepts a guest with bad metadata and warns" {
  init_guest a
  echo '{' >"$(guest_dir a)/metadata.json"
  run -0 --separate-stderr snapshot-meta trash a
  assert_contains "$stderr" 'warning'
  [[ ! -e $(guest_dir a) ]]
}
