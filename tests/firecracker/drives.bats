#!/usr/bin/env bats
# Guests with drives and a vsock: every fork has its own, although their vmstate names the source's.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers

setup() {
  require_firecracker
  make_store
}

teardown() {
  stop_everything
}

# The machine's directory as its vmstate will name it, and the configuration of its devices.
make_machine_dir() {
  machine=$BATS_TEST_TMPDIR/machine
  mkdir "$machine"
  truncate -s 1M "$machine"/{root,data}.img
  devices=$(jq -nc --arg dir "$machine" '{
    drives: ["root", "data"] | map({drive_id: ., path_on_host: "\($dir)/\(.).img",
      is_root_device: false, is_read_only: false}),
    vsock: {guest_cid: 3, uds_path: "\($dir)/v.sock"}}')
}

@test "each fork writes to its own drives and has its own vsock, three at once" {
  make_machine_dir
  vm_boot source 128 'guest.seed=7 guest.zero=50' "$devices"
  [[ $ready == *' devices=2,2,19' ]]
  [[ $(vm_ask source 'disk 0 write 1 source-root') == 'disk 0 1 OK source-root' ]]
  [[ $(vm_ask source 'disk 1 write 1 source-data') == 'disk 1 1 OK source-data' ]]
  sum=$(vm_ask source sum)
  vm_pause source
  vm_snapshot source "$BATS_TEST_TMPDIR/snapshot"
  vm_kill source
  rm "$machine/v.sock"
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" \
    --memory "$BATS_TEST_TMPDIR/snapshot/memory" --disk "$machine/root.img" --disk "$machine/data.img"
  snapfork promote base
  local before
  before=$(sha256sum "$machine"/*.img "$SNAPFORK_ROOT"/guests/base/*.img)

  fork_guests -n 3 base
  local vm
  for vm in "${forks[@]}"; do
    [[ $(fork_record "$vm" '[.needs_run, .snapshot_load]') == '[true,null]' ]]
    restore_fork_in_run "$vm"
    [[ $(vm_ask "$vm" 'disk 0 read 1') == 'disk 0 1 OK source-root' ]]
    [[ $(vm_ask "$vm" "disk 0 write 1 $vm") == "disk 0 1 OK $vm" ]]
    [[ $(vm_ask "$vm" "disk 1 write 1 data-$vm") == "disk 1 1 OK data-$vm" ]]
    [[ $(vm_ask "$vm" sum) == "$sum" ]]
    vm_pause "$vm"
  done
  for vm in "${forks[@]}"; do
    vm_resume "$vm"
    [[ $(vm_ask "$vm" 'disk 0 read 1') == "disk 0 1 OK $vm" ]]
    [[ $(vm_ask "$vm" 'disk 1 read 1') == "disk 1 1 OK data-$vm" ]]
    vm_pause "$vm"
    [[ $(dd if="$SNAPFORK_ROOT/guests/$vm/root.img" bs=512 skip=1 count=1 status=none) == "$vm "* ]]
    [[ $(dd if="$SNAPFORK_ROOT/guests/$vm/data.img" bs=512 skip=1 count=1 status=none) == "data-$vm "* ]]
    [[ -S $SNAPFORK_ROOT/guests/$vm/vsock/v.sock ]]
  done
  sha256sum --check --quiet <<<"$before"
  [[ ! -e $machine/v.sock ]]

  vm_kill "${forks[@]}"
  snapfork delete "${forks[@]}" base
  rm -r "$machine"
  nothing_is_left
}
