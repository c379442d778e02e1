// SPDX-License-Identifier: Apache-2.0
// Calls fstat(2) and fstatat(2), and throws with the name of the file.
#include "base/file_status.h"

#include <fcntl.h>

#include <cerrno>

#include "base/error.h"

namespace base {
namespace {

[[noreturn]] void fail(std::string_view shown) {
  throw_errno("cannot stat " + base::quoted(shown));
}

std::optional<struct stat> try_stat(int dir, const std::string& name, int flags,
                                    std::string_view shown) {
  struct stat st {};
  if (::fstatat(dir, name.c_str(), &st, flags) == 0) {
    return st;
  }
  if (errno != ENOENT) {
    fail(shown);
  }
  return std::nullopt;
}

struct stat stat_or_throw(int dir, const std::string& name, int flags, std::string_view shown) {
  const std::optional<struct stat> st = try_stat(dir, name, flags, shown);
  if (!st) {
    fail(shown);  // errno is still ENOENT
  }
  return *st;
}

}  // namespace

struct stat stat_fd(int fd, std::string_view name) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    fail(name);
  }
  return st;
}

struct stat stat_path(const std::string& path) {
  return stat_or_throw(AT_FDCWD, path, 0, path);
}

struct stat lstat_path(const std::string& path) {
  return stat_or_throw(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, path);
}

struct stat lstat_at(int dir, const std::string& name, std::string_view shown) {
  return stat_or_throw(dir, name, AT_SYMLINK_NOFOLLOW, shown);
}

std::optional<struct stat> try_stat_path(const std::string& path) {
  return try_stat(AT_FDCWD, path, 0, path);
}

std::optional<struct stat> try_lstat_path(const std::string& path) {
  return try_stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, path);
}

std::optional<struct stat> try_lstat_at(int dir, const std::string& name, std::string_view shown) {
  return try_stat(dir, name, AT_SYMLINK_NOFOLLOW, shown);
}

}  // namespace base
