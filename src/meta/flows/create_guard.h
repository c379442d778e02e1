// SPDX-License-Identifier: Apache-2.0
// Whether Firecracker may write a snapshot into a guest's memory file now.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "store/store.h"

namespace meta {

enum class SnapshotType { full, diff };

struct CreateAnswer {
  std::string refusal;                // why not, and what to do instead; empty when it may
  std::vector<std::string> warnings;  // what the snapshot will cost, or lack
  std::string memory_path;
  nlink_t memory_links = 0;  // 0: there is no such file yet
};

// PUT /snapshot/create writes into an existing memory file of the right length in place: a Diff is
// merged into it, a Full one overwrites it. Refused for a template, for an inode with several
// links, for one that another process than the guest's own VMM has open (a page server above all),
// for a sealed one, and for a Diff that has no base. Takes no lock. Throws base::Refused when there
// is no such guest.
CreateAnswer guard_create(const store::Store& store, const std::string& id, SnapshotType type);

}  // namespace meta
