// SPDX-License-Identifier: Apache-2.0
// Decides whether Firecracker may write a snapshot into a guest's memory file now.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "store/store.h"

namespace meta {

enum class SnapshotType { full, diff };

struct CreateAnswer {
  std::string refusal;                // the reason and what to do instead; empty if allowed
  std::vector<std::string> warnings;  // what the snapshot will cost or not contain
  std::string memory_path;
  nlink_t memory_links = 0;  // 0 if the file does not exist yet
};

// PUT /snapshot/create writes into an existing memory file of the right size in place: a Diff is
// merged into it, and a Full snapshot overwrites it. Refused for a template, for an inode with
// several links, for a file that a process other than the guest's VMM (such as a page server) has
// open, for a sealed file, and for a Diff without a base. Takes no lock. Throws base::Refused if
// the guest does not exist.
CreateAnswer guard_create(const store::Store& store, const std::string& id, SnapshotType type);

}  // namespace meta
