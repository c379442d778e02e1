// SPDX-License-Identifier: Apache-2.0
// What a caller asks of a clone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/atomic_file.h"

// The room is called clone; its namespace is not, because glibc declares a function ::clone().
namespace cloning {

// As cp --reflink: automatic copies what cannot be reflinked.
enum class ReflinkMode { automatic, always, never };

// How `snapshots/*/memory` of a guest directory is taken. A link is the same inode, and so the same
// page cache, as the source: allowed only for memory that nobody can write (see take_link).
enum class MemoryMode { reflink, link, copy };

// Which entries of a tree are left out: sockets always, and with vm what a guest directory holds
// for its own VMM only.
enum class Profile { plain, vm };

// What the caller wants to be told of a source and its clone. Each costs system calls, and time
// that grows with the extents.
enum class Detail {
  nothing,   // what was done
  warnings,  // also what hurts: very many extents, somebody who writes
  numbers,   // all of it, for every file
};

struct Request {
  Detail detail = Detail::numbers;
  ReflinkMode reflink = ReflinkMode::automatic;
  MemoryMode memory = MemoryMode::reflink;
  Profile profile = Profile::plain;
  std::vector<std::string> excludes;  // globs
  bool steady = false;                // refuse a source that changes while it is cloned
  bool dig = false;                   // zeros become holes, whatever the method
  bool sparse = false;                // zeros become holes in what is copied
  bool verify = false;                // compare before publishing
  bool replace = false;               // take the place of what the destination's name stands for
  bool defrag = false;                // rewrite a source that has too many extents
  bool dry_run = false;               // say what would be done, change nothing
  base::Durable durable = base::Durable::no;
  // Refuse to reflink a file that has more extents; nothing: warn from kManyExtents on.
  std::optional<int64_t> max_extents;
  int jobs = 1;  // threads that copy, compare and look for zeros
};

}  // namespace cloning
