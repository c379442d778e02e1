// SPDX-License-Identifier: Apache-2.0
// Why link(2), rename(2) and FICLONE fail with EXDEV; the names of filesystem types.
#pragma once

#include <string>

namespace file {

// Returns the reason as a clause for a message: "they are on different filesystems". EXDEV has more
// causes than that: mount points and btrfs subvolumes inside one filesystem, quota projects,
// overlayfs. `from` is the open file or directory. `to` is the open directory of the other name, or
// a file in it. O_PATH descriptors are sufficient, but a quota project is only recognized with read
// access.
std::string cross_device_reason(int from, int to);
// The same for two existing paths. Symlinks are not followed.
std::string cross_device_reason(const std::string& from, const std::string& to);

// Returns whether link(2) and rename(2) can work between the two: both are on one filesystem, one
// subvolume and one mount.
bool is_one_mount(int a, int b);

// Returns the type of the filesystem of `fd` as in mount(8): "ext4", "xfs". Returns "this
// filesystem" for a type that the table does not have.
std::string filesystem_name(int fd);

}  // namespace file
