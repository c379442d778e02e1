// snapfork.disks in a guest's metadata: which file stands for which path that the state names.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meta/metadata.h"

namespace meta {

struct Disk {
  std::string file;                // in the guest's directory
  std::string embedded_path;       // in the state file
  std::optional<int64_t> bytes{};  // its length when it was adopted; nothing where not recorded
};

// Throws base::BadData when what stands there has another form, or `file` is no plain name.
std::vector<Disk> disks_of(const Metadata& metadata);
void set_disks(Metadata& metadata, const std::vector<Disk>& disks);

}  // namespace meta
