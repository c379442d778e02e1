// SPDX-License-Identifier: Apache-2.0
// stat(2) that throws, and the identity of a file.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>

namespace base {

// Returns the status of an open file. Throws std::system_error "cannot stat 'name'".
struct stat stat_fd(int fd, std::string_view name);
// The same for a path. stat_path follows symbolic links; lstat_path does not.
struct stat stat_path(const std::string& path);
struct stat lstat_path(const std::string& path);
// The same for the entry `name` of the directory `dir`. Symbolic links are not followed. `shown` is
// the path for messages.
struct stat lstat_at(int dir, const std::string& name, std::string_view shown);

// As the function without try_, but return nothing if the file does not exist (ENOENT).
std::optional<struct stat> try_stat_path(const std::string& path);
std::optional<struct stat> try_lstat_path(const std::string& path);
std::optional<struct stat> try_lstat_at(int dir, const std::string& name, std::string_view shown);

// Identifies an inode as long as it exists: a later file may get the same number.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileId&) const = default;
  bool operator<(const FileId& other) const {
    return device != other.device ? device < other.device : inode < other.inode;
  }
};
inline FileId file_id(const struct stat& file) {
  return {.device = file.st_dev, .inode = file.st_ino};
}

// Returns whether both are the same inode of the same device.
inline bool is_same_file(const struct stat& a, const struct stat& b) {
  return file_id(a) == file_id(b);
}

}  // namespace base
