#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Forks of a guest with drives and a vsock open their own, whoever loads them.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers

setup() { flow_setup; }
teardown() { stop_everything; }

# Makes a template `base` of a guest with two drives and a vsock, whose files were in $machine, the working directory of
# its Firecracker. The state names them by that directory, or relative to another prefix.
make_template() { # <machine directory> [prefix]
  machine=$1
  local prefix=${2-$1/}
  mkdir -p "$machine"
  truncate -s 1M "$machine"/{root,data}.img
  local devices
  devices=$(jq -nc --arg prefix "$prefix" '{
    drives: ["root", "data"] | map({drive_id: ., path_on_host: "\($prefix)\(.).img",
      is_root_device: false, is_read_only: false}),
    vsock: {guest_cid: 3, uds_path: "\($prefix)v.sock"}}')
  pushd "$machine" >/dev/null || return
  vm_boot source 96 'guest.seed=7 guest.zero=50' "$devices"
  popd >/dev/null || return
  [[ $ready == *' devices=2,2,19' ]]
  [[ $(vm_ask source 'disk 0 write 1 source-root') == 'disk 0 1 OK source-root' ]]
  [[ $(vm_ask source 'disk 1 write 1 source-data') == 'disk 1 1 OK source-data' ]]
  sum=$(vm_ask source sum)
  vm_pause source
  vm_snapshot source "$BATS_TEST_TMPDIR/snapshot"
  vm_kill source
  rm "$machine/v.sock"
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" \
    --memory "$BATS_TEST_TMPDIR/snapshot/memory" --disk "$machine/root.img=${prefix}root.img" --disk "$machine/data.img=${prefix}data.img"
  snapfork promote base
  before=$(sha256sum "$machine"/*.img "$SNAPFORK_ROOT"/guests/base/*.img)
}

# Checks in the unchanged guest $1: every page, the data that the source wrote, and its own drives.
writes_to_its_own_drives() { # <fork>
  [[ $(vm_ask "$1" sum) == "$sum" ]]
  [[ $(vm_ask "$1" 'disk 0 read 1') == 'disk 0 1 OK source-root' ]]
  [[ $(vm_ask "$1" "disk 0 write 1 $1") == "disk 0 1 OK $1" ]]
  [[ $(vm_ask "$1" "disk 1 write 1 data-$1") == "disk 1 1 OK data-$1" ]]
}

has_its_own_drives() { # <fork>
  [[ $(vm_ask "$1" 'disk 0 read 1') == "disk 0 1 OK $1" ]]
  [[ $(vm_ask "$1" 'disk 1 read 1') == "disk 1 1 OK data-$1" ]]
  local dir=$SNAPFORK_ROOT/guests/$1
  [[ $(dd if="$dir/root.img" bs=512 skip=1 count=1 status=none) == "$1 "* ]]
  [[ $(dd if="$dir/data.img" bs=512 skip=1 count=1 status=none) == "data-$1 "* ]]
}

# Checks by device and inode what the VMM has open: the disks of the fork, and no other file of the store or the source.
opens_only_its_own_files() { # <fork>
  local own=$SNAPFORK_ROOT/guests/$1 open file
  open=$(stat -Lc %d:%i "/proc/${vm_pid[$1]}/fd/"* 2>/dev/null || true)
  for file in "$own"/{root,data}.img; do
    grep -qx "$(stat -c %d:%i "$file")" <<<"$open" || fail "'$file' is not open"
  done
  while read -r file; do
    ! grep -qx "$(stat -c %d:%i "$file")" <<<"$open" || fail "'$file' is open"
  done < <(find "$SNAPFORK_ROOT" "$machine" -type f ! -path "$own/*" ! -name memory)
  [[ -S $own/vsock.sock ]]
}

source_is_unchanged() {
  sha256sum --check --quiet <<<"$before"
  [[ ! -e $machine/v.sock ]]
}

@test "three forks at once write to their own drives and have their own vsock" {
  make_template "$BATS_TEST_TMPDIR/machine"
  fork_guests -n 3 base
  # The source's files are replaced and removed before the forks are loaded.
  cp "$machine/root.img" "$machine/new"
  mv "$machine/new" "$machine/root.img"
  mv "$machine/data.img" "$BATS_TEST_TMPDIR"
  local vm
  for vm in "${forks[@]}"; do
    [[ $(fork_record "$vm" .needs_run) == false ]]
    # One is loaded with the request of its record, without the driver.
    if [[ $vm == "${forks[2]}" ]]; then restore_fork "$vm"; else restore_fork_in_run "$vm"; fi
    opens_only_its_own_files "$vm"
    writes_to_its_own_drives "$vm"
    vm_pause "$vm"
  done
  for vm in "${forks[@]}"; do
    vm_resume "$vm"
    has_its_own_drives "$vm"
    vm_pause "$vm"
  done
  mv "$BATS_TEST_TMPDIR/data.img" "$machine"
  source_is_unchanged
  run -1 snapfork delete "${forks[0]}"
  [[ $output == *"${vm_pid[${forks[0]}]}"* ]]
  vm_kill "${forks[@]}"
  snapfork delete "${forks[@]}" base
  rm -r "$machine"
  nothing_is_left
}

@test "fork runs twice, from the page server and then from its file, although its VMM was killed" {
  make_template "$BATS_TEST_TMPDIR/other/guests/source"
  fork_guests base a
  restore_fork_in_run a
  [[ $(<"$(vm_dir a)/load.json") == *'"Uffd"'* ]]
  opens_only_its_own_files a
  writes_to_its_own_drives a
  vm_kill a
  [[ -S $SNAPFORK_ROOT/guests/a/vsock.sock ]] # which a load would find in use
  run -1 snapfork run a -- true               # it wrote to its drives
  [[ $output == *'it is Stale'* ]]
  restore_fork_in_run a --force
  [[ $(<"$(vm_dir a)/load.json") == *'"File"'* ]]
  opens_only_its_own_files a
  has_its_own_drives a
  [[ $(vm_ask a sum) == "$sum" ]]
  source_is_unchanged
  snapfork delete --stop a
  vm_kill a
  snapfork delete base
  rm -r "$BATS_TEST_TMPDIR/other"
  nothing_is_left
}

@test "two forks at once of a guest with relative paths open their own files, in any working directory" {
  local prefix vm
  for prefix in '' ./; do
    make_template "$BATS_TEST_TMPDIR/machine" "$prefix"
    fork_guests --backend file -n 2 base
    cd "$machine" # where the relative paths lead to the files of the source
    for vm in "${forks[@]}"; do
      restore_fork "$vm"
      opens_only_its_own_files "$vm"
      writes_to_its_own_drives "$vm"
    done
    for vm in "${forks[@]}"; do has_its_own_drives "$vm"; done
    vm_kill "${forks[@]}"
    cd "$BATS_TEST_TMPDIR"
    source_is_unchanged
    snapfork delete "${forks[@]}" base
    rm -r "$machine" "$BATS_TEST_TMPDIR/snapshot"
  done
  nothing_is_left
}

@test "fork of a fork, and a fork in a store that was moved, open their own files" {
  make_template "$BATS_TEST_TMPDIR/machine"
  fork_guests base a
  snapfork fork --backend file a b >/dev/null
  mv "$SNAPFORK_ROOT" "$BATS_TEST_TMPDIR/moved"
  before=${before//"$SNAPFORK_ROOT"/"$BATS_TEST_TMPDIR/moved"}
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/moved
  restore_fork_in_run b
  opens_only_its_own_files b
  writes_to_its_own_drives b
  vm_kill b
  source_is_unchanged
  snapfork delete a b base
  rm -r "$machine"
  nothing_is_left
}

@test "fork whose directory has a long path has its vsock in the run directory" {
  local long
  long=$(printf 'l%.0s' {1..60})
  SNAPFORK_ROOT=$BATS_TEST_TMPDIR/$long
  run_dir=$(mktemp -d /tmp/snapfork-XXXXXX)
  export SNAPFORK_PAGER=$run_dir/p.sock
  mkdir "$SNAPFORK_ROOT"
  make_template "$BATS_TEST_TMPDIR/machine"
  fork_guests --backend file base a
  restore_fork_in_run a
  [[ -S $run_dir/v/$(snapshot-meta session-name a).sock && ! -e $SNAPFORK_ROOT/guests/a/vsock.sock ]]
  snapfork status
  vm_kill a
  snapfork delete a base
  [[ $(ls -A "$run_dir/v") == '' ]]
  rm -r "$machine" "$run_dir"
}
