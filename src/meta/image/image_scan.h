// SPDX-License-Identifier: Apache-2.0
// Computes the digest and finds the zero pages of a memory file in one pass.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "meta/image/zero_map.h"

namespace meta {

struct ImageScan {
  // "xxh3-128:" and 32 hexadecimal digits. The input of the hash is, for each maximal run of
  // nonzero pages in order: its bytes, its offset and its length in bytes (u64, little endian). The
  // digest does not depend on which zeros are holes.
  std::string digest;
  uint64_t bytes = 0;
  uint64_t data_pages = 0;
  ZeroMap zeros;
};

// Scans the regular file `fd` from its start. Holes are not read. A partial last page counts as a
// page. Throws std::system_error, and base::BadData if the size of the file changes during the
// scan.
ImageScan scan_image(int fd, std::string_view name);

}  // namespace meta
