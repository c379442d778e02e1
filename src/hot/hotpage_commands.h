// SPDX-License-Identifier: Apache-2.0
// Checks hot lists against a memory file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hot/hot_list.h"
#include "hot/region.h"

namespace hot {

// The layout of a memory file. It converts an entry of a list to a page number in the file.
struct HotListLayout {
  std::vector<Region> regions;  // empty: only region 0 is known, at the start of the file
  uint64_t page_size = kSmallPage;
};

// Throws base::Refused that names the first entry of `pages` (read from `name`) that does not fit
// the memory file, and base::UsageError if layout.regions do not fit it. Empty regions mean one
// region over the whole file. Throws std::system_error if the file cannot be inspected.
void check_hot_list_for_file(std::span<const HotPage> pages, const std::string& name,
                             const HotListLayout& layout, const std::string& memory_path);

// The same for a list, with identity_problem. `digest` is that of the memory; empty: not known.
void check_list_for_file(const HotList& list, const std::string& name, const HotListLayout& layout,
                         const std::string& memory_path, const std::string& digest);

}  // namespace hot
