# SPDX-License-Identifier: Apache-2.0
# mounts.bash: real filesystems for tests, on loop devices. A test file that loads it calls unmount_all in
# its teardown (or in teardown_file, for what setup_file mounted).
# shellcheck shell=bash

mounted_dirs=()

# Makes a new filesystem and mounts it on DIR, which it makes, too; its image is DIR.img. If this machine cannot, it skips the
# test, or the file if called from setup_file, with the reason.
mount_fs() { # <xfs|btrfs|ext4|tmpfs> <dir> [MiB]
  local type=$1 dir=$2 size=${3:-400} said
  ((EUID == 0)) || skip "mounting $type needs root"
  mkdir -p "$dir"
  if [[ $type == tmpfs ]]; then
    said=$(mount -t tmpfs -o "size=${size}m,mode=755" tmpfs "$dir" 2>&1) || skip "no tmpfs: $said"
  else
    command -v "mkfs.$type" >/dev/null || skip "needs mkfs.$type"
    make_image "$type" "$dir.img" "$size"
    said=$(mount -t "$type" -o loop "$dir.img" "$dir" 2>&1) || skip "cannot mount $type: $said"
  fi
  mounted_dirs+=("$dir")
}

# The file is sparse: it uses only the space of what is written.
make_image() { # <xfs|btrfs|ext4> <file> <MiB>
  local type=$1 file=$2 size=$3 options=(-q)
  case $type in
    # The minimum of mkfs.xfs is 300 MiB, that of mkfs.btrfs 109 MiB.
    xfs)
      options+=(-m reflink=1)
      size=$((size < 300 ? 300 : size))
      ;;
    btrfs) size=$((size < 128 ? 128 : size)) ;;
    ext4) options+=(-F) ;;
  esac
  truncate -s "${size}M" "$file"
  "mkfs.$type" "${options[@]}" "$file" >/dev/null 2>&1
}

# Unmounts all that mount_fs mounted, the last first. A mount that a process still uses ends with the process.
unmount_all() {
  local i
  for ((i = ${#mounted_dirs[@]} - 1; i >= 0; i--)); do
    umount "${mounted_dirs[i]}" 2>/dev/null || umount --lazy "${mounted_dirs[i]}"
    rm -f "${mounted_dirs[i]}.img"
  done
  mounted_dirs=()
}
