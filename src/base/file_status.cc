// SPDX-License-Identifier: Apache-2.0
// Calls stat(2), lstat(2) and fstat(2); compares inodes.
#include "base/file_status.h"

#include "base/error.h"

namespace base {

struct stat stat_fd(int fd, std::string_view name) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    throw_errno("cannot stat " + base::quoted(name));
  }
  return st;
}

struct stat stat_path(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    throw_errno("cannot stat " + base::quoted(path));
  }
  return st;
}

struct stat lstat_path(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    throw_errno("cannot stat " + base::quoted(path));
  }
  return st;
}

bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace base
