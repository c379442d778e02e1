// SPDX-License-Identifier: Apache-2.0
// Why link(2), rename(2) and FICLONE fail with EXDEV, and what a filesystem is called.
#pragma once

#include <string>

namespace file {

// The reason, as a clause for a message: "they are on different filesystems". EXDEV has more causes
// than that: mount points and btrfs subvolumes inside one filesystem, quota projects, overlayfs.
// `from` is the open file or directory, `to` the open directory (or a file in it) of the other
// name. Descriptors of O_PATH will do; without read access a quota project is not recognized.
std::string cross_device_reason(int from, int to);
// The same for two existing paths, which are not followed when they are symlinks.
std::string cross_device_reason(const std::string& from, const std::string& to);

// Whether link(2) and rename(2) can work between the two: one filesystem, one subvolume, one mount.
bool is_one_mount(int a, int b);

// The type of the filesystem that `fd` is on, as in mount(8): "ext4", "xfs"; "this filesystem" for
// one that is not in the table.
std::string filesystem_name(int fd);

}  // namespace file
