// SPDX-License-Identifier: Apache-2.0
// The filesystem of a path: type, mount point, device, UUID, free space.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cloning {

struct FilesystemInfo {
  std::string type;                  // "xfs"
  std::string mount_point;           // the mount through which the path is reached
  std::string source;                // the device, or the source in /proc/self/mountinfo ("tmpfs")
  std::string options;               // options of the superblock ("rw,attr2,...")
  std::optional<std::string> uuid;   // nothing if there is no block device or it is not readable
  std::optional<std::string> label;  // the same; also nothing if it has no label
  int64_t free_bytes = 0;            // available to an unprivileged user
};

// Asks the kernel for the mount of `path`, libmount for the properties of the mount, and libblkid
// for the contents of its device. Throws std::system_error if `path` cannot be looked up;
// base::Unsupported if the kernel does not report the mount (before Linux 5.8).
//
// Only fs-probe calls this: the two libraries and their dependencies (libselinux, libpcre2) take
// about a millisecond to load.
FilesystemInfo filesystem_of(const std::string& path);

}  // namespace cloning
