#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The steps of snapshot-meta's flows: init, promote, fork, trash, demote.
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
  make_snapshot drive=/d/one
  snapshot-meta init taken --state state --memory memory
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
  run -0 snapshot-meta promote a
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

# ---- forks

@test "fork-begin, clone and fork-publish make a fork that forks prints" {
  init_template a
  run -0 snapshot-meta fork-begin a f1 f2
  tmp=$SNAPFORK_ROOT/.snapfork/tmp
  assert_equal "$output" $'f1\t'"$tmp"$'/fork.f1\tlink\nf2\t'"$tmp"$'/fork.f2\tlink'
  assert_equal "$(ls "$(guest_dir a)/template/forks")" $'f1\nf2'
  assert_equal "$(snapshot-meta forks a)" ''
  run -0 snapshot-meta forks --json a
  assert_equal "$(json '.absent | join(" ")')" 'f1 f2'
  clone a f1 link
  clone a f2 link
  report='{"type":"file","v":1}
{"type":"total","v":1,"src":"s","dst":"'$tmp'/fork.f2","method":"reflink","bytes_shared":1.0}'
  run -0 snapshot-meta fork-publish a f1 f2 --socket-dir /s --clone-report - <<<"$report"
  assert_equal "${#lines[@]}" 2
  local session
  session=$(snapshot-meta session-name f1)
  assert_equal "$(jq -c 'del(.snapshot_load, .clone)' <<<"${lines[0]}")" \
    '{"type":"fork","v":1,"id":"f1","name":"f1","template":"a","source":"a","dir":"'"$(guest_dir f1)"'","state_path":"'"$(state_of f1)"'","memory_path":"'"$(memory_of f1)"'","backend":"uffd","uffd_socket_path":"/s/'"$session"'.sock","session_id":"'"$session"'","needs_run":false}'
  assert_equal "$(jq -c .snapshot_load <<<"${lines[0]}")" \
    '{"snapshot_path":"'"$(state_of f1)"'","mem_backend":{"backend_type":"Uffd","backend_path":"/s/'"$session"'.sock"},"resume_vm":true}'
  assert_equal "$(jq -c .clone <<<"${lines[0]}")" null
  assert_equal "$(jq -c .clone.method <<<"${lines[1]}")" '"reflink"'
  assert_contains "${lines[1]}" '"bytes_shared":1.0'
  assert_equal "$(snapshot-meta forks a)" $'f1\nf2'
  assert_equal "$(snapshot-meta get f1 ForkOfTemplate)" a
  assert_equal "$(snapshot-meta get f1 FirecrackerUseUFFDOnNextRestore)" true
  assert_equal "$(snapshot-meta get f1 FirecrackerUFFDSessionID)" "$session"
  [[ $(snapshot-meta get f1 FirecrackerSnapshotCacheKey) == snapfork-???????????????? ]]
  assert_equal "$(snapshot-meta get f1 FirecrackerSnapshotCacheKey)" "$(snapshot-meta get f2 FirecrackerSnapshotCacheKey)"
  assert_equal "$(snapshot-meta state f1)" Standby
  assert_equal "$(find "$tmp" -mindepth 1)" ''
}

@test "a fork of a Standby guest has its own memory file" {
  init_guest a
  run -0 snapshot-meta fork-begin a f
  assert_contains "$output" $'\treflink'
  clone a f reflink
  run -0 snapshot-meta fork-publish a f --backend file --name 'my fork'
  assert_equal "$(json '[.name, .template, .source, .backend, .session_id, .uffd_socket_path] | map(tostring) | join(",")')" \
    'my fork,null,a,file,null,null'
  assert_equal "$(json '.snapshot_load.mem_backend | [.backend_type, .backend_path] | join(" ")')" "File $(memory_of f)"
  assert_equal "$(snapshot-meta get f ForkOfTemplate)" ''
  [[ ! -e $(guest_dir a)/template ]]
}

@test "a fork whose state has paths outside of its directory has needs_run" {
  init_template a drive=/d/one
  run -0 make_fork a f
  assert_equal "$(json '[.needs_run, .snapshot_load] | map(tostring) | join(" ")')" 'true null'
  init_template b vsock=/v.sock
  run -0 make_fork b g
  assert_equal "$(json .needs_run)" true
  # Devices that cannot be read may have any path.
  init_guest c
  "$HELPERS/write-vmstate" "$(state_of c)" 7.0.0 2
  run -0 make_fork c h
  assert_equal "$(json .needs_run)" true
  # A path in the fork's own directory is not foreign.
  init_template e "drive=$(guest_dir i)/disk"
  run -0 make_fork e i
  assert_equal "$(jq -r .needs_run <<<"$output")" false
}

@test "fork-begin refuses invalid sources and existing ids" {
  init_template a
  init_guest b
  before=$(store_picture)
  run --separate-stderr -1 snapshot-meta fork-begin a b
  assert_contains "$stderr" "'b': the guest already exists"
  run --separate-stderr -1 snapshot-meta fork-begin a new b
  run --separate-stderr -1 snapshot-meta fork-begin nobody new
  run --separate-stderr -2 snapshot-meta fork-begin a new new
  assert_contains "$stderr" "'new' is given twice"
  run --separate-stderr -2 snapshot-meta fork-begin a a
  run --separate-stderr -2 snapshot-meta fork-begin a ../x
  run --separate-stderr -2 snapshot-meta fork-begin a
  run -0 snapshot-meta fork-begin --dry-run a new
  assert_equal "$(store_picture)" "$before"
  make_fake_guest stopped
  rm -r "$(guest_dir stopped)/snapshots"
  run --separate-stderr -1 snapshot-meta fork-begin stopped new
  assert_contains "$stderr" 'it is Stopped'
}

@test "fork-publish refuses a fork without fork-begin, or whose source changed since" {
  init_template a
  run --separate-stderr -1 snapshot-meta fork-publish a f
  assert_contains "$stderr" 'does not exist; start with fork-begin'
  mkdir -p "$SNAPFORK_ROOT/.snapfork/tmp"
  clone a f link
  run --separate-stderr -1 snapshot-meta fork-publish a f
  assert_contains "$stderr" "the index of template 'a' does not have it"
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  truncate -s 1M short && ln -f short "$SNAPFORK_ROOT/.snapfork/tmp/fork.f/snapshots/snapshot-latest/memory"
  run --separate-stderr -4 snapshot-meta fork-publish a f
  assert_contains "$stderr" "is not a whole copy of the source's memory"
  [[ ! -e $(guest_dir f) ]]
  # The source was demoted between begin and publish. The fork would share memory with a guest that may run.
  snapshot-meta fork-end a f
  snapshot-meta fork-begin a f >/dev/null
  clone a f link
  snapshot-meta demote a
  run --separate-stderr -1 snapshot-meta fork-publish a f
  assert_contains "$stderr" 'which is not a template'
  [[ ! -e $(guest_dir f) ]]
}

@test "fork-publish checks socket paths and names, and prints clone reports" {
  init_template a
  snapshot-meta fork-begin a f g >/dev/null
  clone a f link
  clone a g link
  run --separate-stderr -2 snapshot-meta fork-publish a f --socket-dir "/$(printf 'x%.0s' {1..107})"
  assert_contains "$stderr" 107
  run --separate-stderr -2 snapshot-meta fork-publish a f g --name both
  assert_contains "$stderr" 'single fork'
  run --separate-stderr -2 snapshot-meta fork-publish a f --backend other
  run --separate-stderr -4 snapshot-meta fork-publish a f --clone-report - <<<'not JSON'
  assert_contains "$stderr" 'standard input'
  run --separate-stderr -5 snapshot-meta fork-publish a f --clone-report none
  [[ ! -e $(guest_dir f) && ! -e $(guest_dir g) ]]
  SNAPFORK_PAGER=/p/pager.sock run -0 snapshot-meta fork-publish a f
  assert_equal "$(json .uffd_socket_path)" "/p/s/$(snapshot-meta session-name f).sock"
}

@test "session-name prints ID@HHHHHHHH, which differs between stores" {
  init_guest a
  init_guest b
  run -0 snapshot-meta session-name a b
  assert_equal "${#lines[@]}" 2
  [[ ${lines[0]} =~ ^a@[0-9a-f]{8}$ && ${lines[1]} =~ ^b@[0-9a-f]{8}$ ]] || fail 'these are not session names'
  run -0 snapshot-meta session-name --json a
  assert_equal "$(json '[.type, .v, .id] | map(tostring) | join(" ")')" 'session_name 1 a'
  assert_equal "$(json .name)" "$(snapshot-meta session-name a)"
  local first=$output
  cp -a "$SNAPFORK_ROOT" other
  SNAPFORK_ROOT=$PWD/other run -0 snapshot-meta session-name --json a
  [[ $(json .name) != "$(jq -r .name <<<"$first")" ]]
  refused_session_name() { run --separate-stderr "-$1" snapshot-meta session-name "${@:2}"; }
  refused_session_name 1 nobody
  refused_session_name 2 ../a
  refused_session_name 2
  refused_session_name 1 a nobody
  assert_equal "$output" ''
}

@test "fork-end removes clones and index entries, but not those of a live fork" {
  init_template a
  make_fork a f
  run --separate-stderr -1 snapshot-meta fork-end a f
  assert_contains "$stderr" 'trash it first'
  assert_equal "$(snapshot-meta forks a)" f
  snapshot-meta fork-begin a g >/dev/null
  clone a g link
  mkdir "$SNAPFORK_ROOT/.snapfork/tmp/.fork.g.snapfork-tmp"
  run -0 snapshot-meta fork-end --dry-run a g
  assert_contains "$output" 'would remove'
  snapshot-meta fork-end a g h
  assert_equal "$(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
  assert_equal "$(ls "$(guest_dir a)/template/forks")" f
  snapshot-meta fork-end - g
  snapshot-meta fork-end gone g
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
