# SPDX-License-Identifier: Apache-2.0
# drive_helpers.bash: a template of a guest with two drives and a vsock. A file that loads it also loads helpers and
# flow_helpers.
# shellcheck shell=bash disable=SC2154 # variables of the helpers

# Makes a template `base` of a guest with two drives and a vsock. The working directory of its Firecracker is $machine. The
# state names the files by that directory, or by another prefix, from there.
make_template() { # <machine directory> [prefix]
  local prefix=${2-$1/} devices
  machine=$1
  mkdir -p "$machine"
  pushd "$machine" >/dev/null || return
  host_files=("$(realpath -m "${prefix}root.img")" "$(realpath -m "${prefix}data.img")" "$(realpath -m "${prefix}v.sock")")
  truncate -s 1M "${host_files[@]:0:2}"
  devices=$(jq -nc --arg prefix "$prefix" '{
    drives: ["root", "data"] | map({drive_id: ., path_on_host: "\($prefix)\(.).img",
      is_root_device: false, is_read_only: false}),
    vsock: {guest_cid: 3, uds_path: "\($prefix)v.sock"}}')
  vm_boot source 96 'guest.seed=7 guest.zero=50' "$devices"
  popd >/dev/null || return
  [[ $ready == *' devices=2,2,19' ]]
  [[ $(vm_ask source 'disk 0 write 1 source-root') == 'disk 0 1 OK source-root' ]]
  [[ $(vm_ask source 'disk 1 write 1 source-data') == 'disk 1 1 OK source-data' ]]
  sum=$(vm_ask source sum)
  vm_pause source
  vm_snapshot source "$BATS_TEST_TMPDIR/snapshot"
  vm_kill source
  rm "${host_files[2]}"
  snapfork import base --state "$BATS_TEST_TMPDIR/snapshot/state" \
    --memory "$BATS_TEST_TMPDIR/snapshot/memory" --disk "${host_files[0]}=${prefix}root.img" --disk "${host_files[1]}=${prefix}data.img"
  snapfork promote base
  before=$(sha256sum "${host_files[@]:0:2}" "$SNAPFORK_ROOT"/guests/base/*.img)
}

# The functions below ask the guest by the function $ask (default: vm_ask).
# Checks in the unchanged guest $1: every page, the data that the source wrote, and its own drives.
writes_to_its_own_drives() { # <fork>
  [[ $("${ask:-vm_ask}" "$1" sum) == "$sum" ]]
  [[ $("${ask:-vm_ask}" "$1" 'disk 0 read 1') == 'disk 0 1 OK source-root' ]]
  [[ $("${ask:-vm_ask}" "$1" "disk 0 write 1 $1") == "disk 0 1 OK $1" ]]
  [[ $("${ask:-vm_ask}" "$1" "disk 1 write 1 data-$1") == "disk 1 1 OK data-$1" ]]
}

has_its_own_drives() { # <fork>
  [[ $("${ask:-vm_ask}" "$1" 'disk 0 read 1') == "disk 0 1 OK $1" ]]
  [[ $("${ask:-vm_ask}" "$1" 'disk 1 read 1') == "disk 1 1 OK data-$1" ]]
  local dir=$SNAPFORK_ROOT/guests/$1
  [[ $(dd if="$dir/${host_files[0]##*/}" bs=512 skip=1 count=1 status=none) == "$1 "* ]]
  [[ $(dd if="$dir/${host_files[1]##*/}" bs=512 skip=1 count=1 status=none) == "data-$1 "* ]]
}

# Checks by device and inode what the VMM has open: the disks of the fork, and no other file of the store or the source.
opens_only_its_own_files() { # <fork> <pid>
  local own=$SNAPFORK_ROOT/guests/$1 open file
  open=$(stat -Lc %d:%i "/proc/$2/fd/"* 2>/dev/null || true)
  for file in "$own/${host_files[0]##*/}" "$own/${host_files[1]##*/}"; do
    grep -qx "$(stat -c %d:%i "$file")" <<<"$open" || fail "'$file' is not open"
  done
  while read -r file; do
    ! grep -qx "$(stat -c %d:%i "$file")" <<<"$open" || fail "'$file' is open"
  done < <(find "$SNAPFORK_ROOT" "$machine" "${host_files[@]:0:2}" -type f ! -path "$own/*" ! -name memory 2>/dev/null)
  [[ -S $own/vsock.sock ]]
}

source_is_unchanged() {
  sha256sum --check --quiet <<<"$before"
  [[ ! -e ${host_files[2]} ]]
}
