// SPDX-License-Identifier: Apache-2.0
// Checks the entries of a hot list against the regions of a guest.
#include "hot/hot_list.h"

#include <string>

#include "base/error.h"

namespace hot {

void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name) {
  for (size_t i = 0; i < pages.size(); ++i) {
    const HotPage& page = pages[i];
    std::string why;
    if (page.region >= regions.size()) {
      why = "the guest has " + std::to_string(regions.size()) + " regions";
    } else if (page.offset >= regions[page.region].size) {
      why = "the region has " + std::to_string(regions[page.region].size) + " bytes";
    } else if (page.offset % regions[page.region].page_size != 0) {
      why = "the offset is not a multiple of the page size " +
            std::to_string(regions[page.region].page_size);
    } else {
      continue;
    }
    throw base::BadData("cannot use hot list " + base::quoted(name) + ": entry " +
                        std::to_string(i) + " is region " + std::to_string(page.region) +
                        ", offset " + std::to_string(page.offset) + ": " + why +
                        "; the list was recorded from another image");
  }
}

}  // namespace hot
