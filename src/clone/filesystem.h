// SPDX-License-Identifier: Apache-2.0
// Which filesystem a path is on: type, mount point, device, UUID, free space.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cloning {

struct FilesystemInfo {
  std::string type;                  // "xfs"
  std::string mount_point;           // of the very mount that the path is reached through
  std::string source;                // device, or whatever /proc/self/mountinfo says ("tmpfs")
  std::string options;               // of the superblock ("rw,attr2,...")
  std::optional<std::string> uuid;   // nothing: no block device, or one that we may not read
  std::optional<std::string> label;  // likewise, or it has none
  int64_t free_bytes = 0;            // what an unprivileged user may still write
};

// Asks the kernel which mount `path` is on, libmount what that mount is and libblkid what is on its
// device. Throws std::system_error when `path` cannot be looked up; base::Unsupported when the
// kernel does not report the mount (before Linux 5.8).
//
// Only fs-probe calls this: the two libraries, and what they need (libselinux, libpcre2), take
// about a millisecond to load.
FilesystemInfo filesystem_of(const std::string& path);

}  // namespace cloning
