// SPDX-License-Identifier: Apache-2.0
// Combines the scan of a memory file with its number of extents.
#include "meta/image/make_record.h"

#include <optional>
#include <utility>

#include "file/extents.h"
#include "meta/image/image_scan.h"

namespace meta {

ImageRecord make_image_record(int fd, const std::string& path, uint64_t page_size) {
  ImageScan scan = scan_image(fd, path);
  const std::optional<int64_t> extents = file::count_extents(fd, file::Flush::yes, path);
  return {.digest = std::move(scan.digest),
          .memory_bytes = scan.bytes,
          .page_size = page_size,
          .data_pages = scan.data_pages,
          .zero_pages = scan.zeros.pages(),
          .extents = extents ? std::optional(static_cast<uint64_t>(*extents)) : std::nullopt,
          .zero_runs_from_pages = scan.zeros.complete_from(),
          .zero_runs = scan.zeros.runs()};
}

}  // namespace meta
