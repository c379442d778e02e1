// SPDX-License-Identifier: Apache-2.0
// Files that Firecracker wrote become a guest: the work of `snapshot-meta init`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/metadata.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

// The metadata of a guest that is new: a Standby one of Firecracker, no template and no fork.
Metadata new_guest_metadata(std::string_view id, std::string_view name, int64_t memory_bytes);

struct AdoptedDisk {
  std::string file;
  std::optional<std::string> embedded_path;  // nothing: the absolute path of `file`
};
struct AdoptRequest {
  std::string id;
  std::string name;  // empty: the id
  std::string state;
  std::string memory;
  std::vector<AdoptedDisk> disks;
  bool of_copies = false;  // a dry run: copies of the files, on the store's filesystem, are meant
};

// Checks the files against each other, links them into a new guest directory (nothing is copied),
// makes it durable, renames it into guests/ and unlinks the files from where they were. A crash
// before the rename leaves them untouched. Throws base::Refused when there is such a guest;
// base::BadData when the state is none or its CRC wrong, the memory has not the length that it
// says, or a disk's path is not in it; base::Unsupported for files of another filesystem than the
// store, or one without hard links; base::UsageError for two disks of one name.
void adopt(const store::Store& store, const AdoptRequest& request, store::Effect effect);

}  // namespace meta
