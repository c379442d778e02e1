// SPDX-License-Identifier: Apache-2.0
// What hotpage-record does with traces and lists.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hot/hot_list.h"
#include "hot/region.h"

namespace hot {

// Reads a list, or standard input for "-". Throws std::system_error, base::BadData.
std::vector<HotPage> read_hot_list(const std::string& path);

struct RecordRequest {
  std::string trace_path = "-";          // "-": standard input
  std::optional<std::string> list_path;  // nothing: standard output
  bool dry_run = false;
};
// Makes a list of a trace. A list file is replaced atomically and durably. Throws base::UsageError
// where the list would go to a terminal or among JSON records, and what reading and writing throw.
void record_hot_list(const RecordRequest& request);

// How a memory file is laid out, for numbers of pages in it.
struct HotListLayout {
  std::vector<Region> regions;  // empty: only region 0 is known, at the start of the file
  uint64_t page_size = kSmallPage;
};
// A line "REGION<TAB>OFFSET<TAB>PAGE", or a record, for each entry; PAGE is "-" where not known.
void show_hot_list(std::span<const HotPage> pages, const HotListLayout& layout);

struct HotListStat {
  uint64_t entries = 0;
  uint64_t distinct = 0;  // without repeats
  uint64_t regions = 0;   // that are named
  uint64_t runs = 0;      // of distinct pages side by side: what one read can take
};
HotListStat stat_hot_list(std::span<const HotPage> pages, uint64_t page_size);

// Throws base::BadData with the entry when `pages`, read from `name`, are not for the memory file,
// and base::UsageError when layout.regions are not; no regions stand for one over the whole file.
// Throws std::system_error when the file cannot be looked at.
void check_hot_list_for_file(std::span<const HotPage> pages, const std::string& name,
                             const HotListLayout& layout, const std::string& memory_path);

}  // namespace hot
