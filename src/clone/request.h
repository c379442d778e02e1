// SPDX-License-Identifier: Apache-2.0
// The options of a clone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/effect.h"

// The folder is named clone. Its namespace is not, because glibc declares a function ::clone().
namespace cloning {

// As cp --reflink: automatic copies a file that cannot be reflinked.
enum class ReflinkMode { automatic, always, never };

// The method for `snapshots/*/memory` of a guest directory. A link is the same inode as the source,
// and so has the same page cache. It is only allowed for memory that no process can write to (see
// take_link).
enum class MemoryMode { reflink, link, copy };

// The entries of a tree that are omitted: sockets always, and with vm also the files that belong to
// the VMM of that guest.
enum class Profile { plain, vm };

// What the caller wants to know about a source and its clone. Each level costs system calls, and
// time that grows with the number of extents.
enum class Detail {
  nothing,   // what was done
  warnings,  // also problems: very many extents, a writer
  numbers,   // everything, for every file
};

struct Request {
  Detail detail = Detail::numbers;
  ReflinkMode reflink = ReflinkMode::automatic;
  MemoryMode memory = MemoryMode::reflink;
  Profile profile = Profile::plain;
  std::vector<std::string> excludes;  // glob patterns
  bool steady = false;                // refuse a source that changes during the clone
  bool dig = false;                   // zeros become holes, for every method
  bool sparse = false;                // zeros become holes in copies
  bool verify = false;                // compare before publishing
  bool replace = false;               // replace an existing destination
  bool defrag = false;                // rewrite a source that has too many extents
  base::Effect effect = base::Effect::real;
  base::Durable durable = base::Durable::no;
  // Refuse to reflink a file with more extents. Without a value, warn above kManyExtents.
  std::optional<int64_t> max_extents;
  int jobs = 1;  // threads that copy, compare and search for zeros
};

}  // namespace cloning
