// SPDX-License-Identifier: Apache-2.0
// Reads the hot pages of a memory file into the page cache.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hot/hot_page.h"
#include "hot/hotpage_commands.h"
#include "hot/region.h"

namespace hot {

// A range of bytes of a memory file.
struct FileRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool operator==(const FileRange&) const = default;
};

// The regions of an x86 guest without hot-plugged memory: up to 3 GiB one, above that two. For
// readahead a wrong guess only costs time.
std::vector<Region> usual_regions(uint64_t file_size, uint64_t page_size);

// The ranges of the file to read, sorted and without overlap. A gap of at most kReadaheadGap
// between two pages is read, too, because one large read is faster than two small ones. `pages`
// must fit `regions` (check_hot_list).
inline constexpr uint64_t kReadaheadGap = uint64_t{64} * 1024;
std::vector<FileRange> readahead_ranges(std::span<const HotPage> pages,
                                        std::span<const Region> regions);

struct Readahead {
  uint64_t ranges = 0;
  uint64_t bytes = 0;
};
// Starts to read the pages of `pages`, the list from file `name`, of the memory file into the page
// cache. Returns when all reads are queued; some may not have ended. Pages that are cached cost
// little: if all are cached, nothing is queued. With empty layout.regions, usual_regions apply.
// Throws what check_hot_list_for_file throws, and std::system_error if the file cannot be read.
Readahead read_ahead(std::span<const HotPage> pages, const std::string& name, HotListLayout layout,
                     const std::string& memory_path);

}  // namespace hot
