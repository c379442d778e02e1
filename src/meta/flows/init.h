// SPDX-License-Identifier: Apache-2.0
// Makes a guest of files that Firecracker wrote; `snapshot-meta init` calls this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effect.h"
#include "meta/guest/disks.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// The metadata of a new Firecracker guest in Standby that is neither a template nor a fork.
Metadata new_guest_metadata(std::string_view id, std::string_view name, int64_t memory_bytes);

struct InitDisk {
  std::string file;
  std::optional<std::string> embedded_path;  // default: the absolute path of `file`
};
struct InitRequest {
  std::string id;
  std::string name;  // if empty, the id
  std::string state;
  std::string memory;
  std::vector<InitDisk> disks;
  std::vector<std::string> shared_files{};  // paths in the state of drives that nobody can write
  bool assumes_no_paths = false;            // if its devices cannot be read: it has no drives
  std::string firecracker{};                // the version that made the snapshot; may be empty
  bool of_copies = false;  // dry run only: the files will be copied into the store first
};

// Checks the files against each other, links them into a new guest directory without copying, makes
// that durable, renames it into guests/, and unlinks the source files. A crash before the rename
// leaves the source files untouched. Returns the disks in the order of the request.
//
// Throws base::Refused if the guest already exists, a file belongs to a guest, or a file has
// several links; if a drive of the state has neither a disk nor a shared file; and if a shared file
// can be written by the guest. Throws base::BadData if the state is not a Firecracker state, its
// CRC is wrong, the given Firecracker writes another snapshot version, the memory does not have the
// size that the state requires, or the state has no drive of a disk's path. Throws
// base::Unsupported if a file is on another filesystem than the store, or on one without hard
// links. Throws base::UsageError if a disk cannot keep its file name.
std::vector<Disk> init_guest(const store::Store& store, const InitRequest& request,
                             base::Effect effect);

}  // namespace meta
