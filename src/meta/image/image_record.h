// SPDX-License-Identifier: Apache-2.0
// Reads and writes template/image.json: facts about the sealed memory that promote records once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/atomic_file.h"
#include "hot/region.h"
#include "meta/image/image_scan.h"
#include "meta/image/zero_map.h"
#include "store/store.h"

namespace meta {

struct ImageRecord {
  std::string digest;                    // ImageScan::digest
  uint64_t memory_bytes = 0;             // length of the memory file
  uint64_t page_size = hot::kSmallPage;  // of the guest's memory; hot::kHugePage for hugetlbfs
  uint64_t data_pages = 0;  // of hot::kSmallPage bytes, as all page counts in this struct
  uint64_t zero_pages = 0;
  std::optional<uint64_t> extents;    // of the memory file when it was promoted
  uint64_t zero_runs_from_pages = 1;  // zero_runs has all runs of at least this many pages
  std::vector<ZeroRun> zero_runs;     // ascending, not adjacent
};

std::string image_record_path(const store::Store& store, std::string_view id);

// One JSON object, one member per line: {"v":1,"digest",...,"zero_runs":[[FIRST,COUNT],...]}.
std::string to_json(const ImageRecord& record);
// Throws base::BadData if `text` is not a record, or if its runs are not in order inside the image.
ImageRecord parse_image_record(std::string_view text, const std::string& path);
// Returns nothing if the file does not exist. Throws as parse_image_record does, and
// std::system_error.
std::optional<ImageRecord> read_image_record(const std::string& path);

}  // namespace meta
