// SPDX-License-Identifier: Apache-2.0
// snapfork.disks in a guest's metadata: which file stands for which path that the state names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/metadata.h"

namespace meta {

struct Disk {
  std::string file;           // in the guest's directory
  std::string embedded_path;  // in the state file
  // As they were when the snapshot was published; nothing where they were not recorded.
  std::optional<int64_t> bytes{};
  std::optional<int64_t> mtime_ns{};  // modification time, after 1970
};

// Throws base::BadData when what stands there has another form, or `file` is no plain name.
std::vector<Disk> disks_of(const Metadata& metadata);
void set_disks(Metadata& metadata, const std::vector<Disk>& disks);

// Sets length and modification time of each listed disk to those of the file in `dir`: from now on
// they belong to the snapshot. A file that is missing gets none. Does nothing without the list.
void record_disks(Metadata& metadata, const std::string& dir);

// How the disks in `dir` differ from what record_disks noted, a sentence each: then memory and
// disks no longer belong together. A disk without a recorded time never differs.
std::vector<std::string> changed_disks(const Metadata& metadata, const std::string& dir);

}  // namespace meta
