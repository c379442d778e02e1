// SPDX-License-Identifier: Apache-2.0
// stat(2) that throws, and the identity of a file.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

namespace base {

// Returns the status of an open file. Throws std::system_error "cannot stat 'name'".
struct stat stat_fd(int fd, std::string_view name);
// The same for a path. stat_path follows symbolic links; lstat_path does not.
struct stat stat_path(const std::string& path);
struct stat lstat_path(const std::string& path);

// Returns whether both are the same inode of the same device.
bool is_same_file(const struct stat& a, const struct stat& b);

}  // namespace base
