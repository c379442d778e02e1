// SPDX-License-Identifier: Apache-2.0
// Entries of a hot list: single pages, and runs of adjacent pages.
#pragma once

#include <cstdint>

namespace hot {

// One page: the index of its region in the handshake, and its byte offset in that region. The
// offset is a multiple of the region's page size.
struct HotPage {
  uint32_t region = 0;
  uint64_t offset = 0;
  bool operator==(const HotPage&) const = default;
};

// `count` adjacent pages of one region, in ascending order. `offset` is that of the first.
struct HotRun {
  uint32_t region = 0;
  uint32_t count = 1;
  uint64_t offset = 0;
  bool operator==(const HotRun&) const = default;
};

}  // namespace hot
