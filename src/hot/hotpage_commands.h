// SPDX-License-Identifier: Apache-2.0
// The commands of hotpage-record: record, show, stat, check.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/effect.h"
#include "hot/hot_list.h"
#include "hot/region.h"

namespace hot {

// Reads a list, or standard input for "-". Throws std::system_error, base::BadData.
std::vector<HotPage> read_hot_list(const std::string& path);

struct RecordRequest {
  std::string trace_path = "-";          // "-": standard input
  std::optional<std::string> list_path;  // not set: standard output
  base::Effect effect = base::Effect::real;
};
// Writes the hot list of a trace. An existing list file is replaced atomically and durably. Throws
// base::UsageError if the list would be written to a terminal or between JSON records, and what
// reading and writing throw.
void record_hot_list(const RecordRequest& request);

// The layout of a memory file. It converts an entry of a list to a page number in the file.
struct HotListLayout {
  std::vector<Region> regions;  // empty: only region 0 is known, at the start of the file
  uint64_t page_size = kSmallPage;
};
// Prints "REGION<TAB>OFFSET<TAB>PAGE", or one JSON record, for each entry. PAGE is "-" if it is not
// known.
void show_hot_list(std::span<const HotPage> pages, const HotListLayout& layout);

struct HotListStat {
  uint64_t entries = 0;
  uint64_t distinct = 0;  // without repeats
  uint64_t regions = 0;   // distinct regions in the list
  uint64_t runs = 0;      // of adjacent pages; one read can cover a run
};
HotListStat stat_hot_list(std::span<const HotPage> pages, uint64_t page_size);

// Throws base::BadData that names the first entry of `pages` (read from `name`) that does not fit
// the memory file, and base::UsageError if layout.regions do not fit it. Empty regions mean one
// region over the whole file. Throws std::system_error if the file cannot be inspected.
void check_hot_list_for_file(std::span<const HotPage> pages, const std::string& name,
                             const HotListLayout& layout, const std::string& memory_path);

}  // namespace hot
