// SPDX-License-Identifier: Apache-2.0
// Lists of hot pages: the pages that a guest touches first, in order.
#pragma once

#include <span>
#include <string_view>

#include "hot/hpl1.h"
#include "hot/region.h"

namespace hot {

// Throws base::BadData naming `name` and the first entry that is outside of `regions` or not a
// multiple of its region's page size: a list that was recorded from a larger image or another
// layout is rejected as a whole.
void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name);

}  // namespace hot
