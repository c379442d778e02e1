// SPDX-License-Identifier: Apache-2.0
// Reads and writes snapfork.disks in a guest's metadata: the file for each drive path of the state.
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
  // The values when the snapshot was published. Nothing if they were not recorded.
  std::optional<int64_t> bytes{};
  std::optional<int64_t> mtime_ns{};  // modification time, after 1970
};

// Whether `name`, in a guest's directory, is that of a file or directory that is not a disk.
bool is_reserved_name(std::string_view name);

// Throws base::BadData if the value has another form, or if `file` is not a plain file name.
std::vector<Disk> disks_of(const Metadata& metadata);
void set_disks(Metadata& metadata, const std::vector<Disk>& disks);

// Records the size and modification time of each listed disk in `dir`, so that the disks belong to
// the snapshot from now on. A missing file gets neither. Does nothing if the metadata has no list.
void record_disks(Metadata& metadata, const std::string& dir);

// Returns one sentence for each disk in `dir` that differs from the record of record_disks. After a
// difference, memory and disks no longer belong together. A disk without a recorded time never
// differs.
std::vector<std::string> changed_disks(const Metadata& metadata, const std::string& dir);

}  // namespace meta
