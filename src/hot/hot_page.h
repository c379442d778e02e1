// SPDX-License-Identifier: Apache-2.0
// An entry of a hot list.
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

}  // namespace hot
