// SPDX-License-Identifier: Apache-2.0
// Lists of hot pages: which pages a guest touches first, to be installed before it asks.
#pragma once

#include <span>
#include <string_view>

#include "hot/hpl1.h"
#include "hot/region.h"

namespace hot {

// Throws base::BadData naming `name` and the first entry that is outside of `regions` or not a
// multiple of its region's page size: a list for a larger image or another layout installs nothing.
void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name);

}  // namespace hot
