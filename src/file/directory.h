// SPDX-License-Identifier: Apache-2.0
// Directories by descriptor: listing one, removing and flushing a tree.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"

namespace file {

// Every step of a walk is openat(2) of one name without following it, so that a symlink that is put
// in the way during the walk leads nowhere, and no path is too long.
inline constexpr int kNoFollow = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

struct Entry {
  std::string name;
  mode_t type;  // S_IFREG, S_IFDIR, ...
};

// All entries but "." and "..", sorted by name. Moves the descriptor's position. `path` is for
// messages. Throws std::system_error.
std::vector<Entry> list_directory(int dir, const std::string& path);

// fsync of every regular file and directory of the tree, `dir` last. The journal is written by the
// first of them and the others find little to do, which is why this comes after the tree is built.
// Throws std::system_error.
void sync_tree(int dir, const std::string& path);

// The present path of an open file; `path` is for messages. Throws std::system_error.
std::string name_of_open(int fd, const std::string& path);

// linkat(2) of an open file: exactly that inode, whatever its name stands for by now, if it has
// one. As linkat: 0, or -1 and errno.
int link_descriptor(int fd, int dir, const std::string& name);

// A tree of N levels needs 2 N descriptors; many systems give 1024 at first and more on demand.
void raise_descriptor_limit();

}  // namespace file
