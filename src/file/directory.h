// SPDX-License-Identifier: Apache-2.0
// Lists a directory and flushes a tree, both by descriptor; links open files; creates directories.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"

namespace file {

// Each step of a walk is an openat(2) of one name that does not follow it. A symlink that another
// process puts in the way during the walk leads nowhere, and no path is too long.
inline constexpr int kNoFollow = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

struct Entry {
  std::string name;
  mode_t type;  // S_IFREG, S_IFDIR, ...
};

// Returns all entries except "." and "..", sorted by name. Moves the position of the descriptor.
// `path` is for messages. Throws std::system_error.
std::vector<Entry> list_directory(int dir, const std::string& path);

// Calls visit(dir, entry, path) for every entry below `dir`: `dir` is the open directory that has
// the entry, `path` its path for messages. If `visit` returns true for a directory, its entries
// follow. Directories are opened without following links. A directory that another process removed
// or replaced during the walk is skipped. Throws std::system_error, and what `visit` throws.
using Visit = std::function<bool(int dir, const Entry& entry, const std::string& path)>;
void walk_tree(int dir, const std::string& path, const Visit& visit);

// Calls fsync(2) for every regular file and directory of the tree, and for `dir` last. The first
// fsync writes the journal, and the others find little to do. This is why the tree is flushed after
// it is complete. Throws std::system_error.
void sync_tree(int dir, const std::string& path);

// Creates a directory and those above it with this mode; those that exist stay. Throws
// std::system_error.
void make_directories(const std::string& path, mode_t mode);

// Returns the present path of an open file. `path` is for messages. Throws std::system_error.
std::string name_of_open(int fd, const std::string& path);

// linkat(2) of an open file: links exactly that inode, whatever its name refers to now. Returns as
// linkat does: 0, or -1 and errno.
int link_descriptor(int fd, int dir, const std::string& name);

}  // namespace file
