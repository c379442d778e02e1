// SPDX-License-Identifier: Apache-2.0
// Reads a memory image once: its digest and its zero pages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "meta/image/zero_map.h"

namespace meta {

struct ImageScan {
  // "xxh3-128:" and 32 hexadecimal digits. Over each maximal run of pages that are not zero, in
  // order: its bytes, then its offset and its length in bytes (u64, little endian). So it does not
  // depend on which of the zeros are holes.
  std::string digest;
  uint64_t bytes = 0;
  uint64_t data_pages = 0;
  ZeroMap zeros;
};

// Scans the regular file `fd` from its start; holes are not read. A last page that is not whole
// counts as a page. Throws std::system_error; base::BadData when the file's length changes
// meanwhile.
ImageScan scan_image(int fd, std::string_view name);

// How many extents the file has on its filesystem: FICLONE costs microseconds for each. Nothing
// where the filesystem does not tell (FIEMAP).
std::optional<uint64_t> count_extents(int fd);

}  // namespace meta
