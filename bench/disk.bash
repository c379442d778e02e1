# SPDX-License-Identifier: Apache-2.0
# A slow disk for benchmarks: a filesystem on a loop device, and a cgroup whose processes read from it at a limited rate
# (cgroup v1 blkio.throttle or v2 io.max). They set `dir`.
# shellcheck shell=bash disable=SC2154 # see above

disk= disk_group= disk_device=

# Makes $dir/disk, an XFS (ext4) of <MiB>. Returns 1 with a message if this machine cannot limit a disk.
make_disk() { # <MiB>
  disk=$dir/disk
  mkdir "$disk"
  truncate -s "${1}M" "$dir/disk.img"
  mkfs.xfs -q "$dir/disk.img" 2>/dev/null || mkfs.ext4 -q -F "$dir/disk.img" || return 1
  mount -o loop "$dir/disk.img" "$disk" || return 1
  local number
  number=$(stat -c %d "$disk")
  disk_device=$((number >> 8 & 0xfff)):$((number & 0xff))
  if [[ -w /sys/fs/cgroup/blkio/blkio.throttle.read_bps_device ]]; then
    disk_group=/sys/fs/cgroup/blkio/snapfork-bench.$$
  elif grep -qw io /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    echo +io >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
    disk_group=/sys/fs/cgroup/snapfork-bench.$$
  fi
  [[ -n $disk_group ]] && mkdir "$disk_group" && limit_disk 0 0 && return
  printf 'bench: no cgroup limits a disk here (v1 blkio.throttle, v2 io.max)\n' >&2
  return 1
}

limit_disk() { # <bytes a second> <reads a second>; 0: no limit
  if [[ -e $disk_group/blkio.throttle.read_bps_device ]]; then
    echo "$disk_device $1" >"$disk_group/blkio.throttle.read_bps_device"
    echo "$disk_device $2" >"$disk_group/blkio.throttle.read_iops_device"
  else
    local bytes=$1 reads=$2
    ((bytes)) || bytes=max
    ((reads)) || reads=max
    echo "$disk_device rbps=$bytes riops=$reads" >"$disk_group/io.max"
  fi
}

# Runs a command in the group; it replaces this process.
on_disk() {
  echo "$BASHPID" >"$disk_group/cgroup.procs"
  exec "$@"
}

# Removes files from the page cache.
make_cold() { # <file>...
  local file
  for file; do
    sync "$file"
    dd if="$file" iflag=nocache count=0 status=none
  done
}

remove_disk() {
  [[ -z $disk ]] || umount "$disk" 2>/dev/null || umount -l "$disk" 2>/dev/null || true
  [[ -z $disk_group ]] || rmdir "$disk_group" 2>/dev/null || true
}
