// SPDX-License-Identifier: Apache-2.0
// The memory image of the kill test, whose every word can be computed.
#pragma once

#include <cstdint>
#include <string>

#include "hot/region.h"
#include "pager/probe/random.h"

namespace pager {

// 32 MiB. Of four runs of 64 KiB, the last is a hole.
struct ScratchImage {
  static constexpr uint64_t kPages = 8192;
  static constexpr uint64_t kBytes = kPages * hot::kSmallPage;
  static constexpr uint64_t kWords = hot::kSmallPage / sizeof(uint64_t);  // of a page
  static constexpr uint64_t kRun = 16;                                    // pages

  static constexpr bool is_hole(uint64_t page) { return page / kRun % 4 == 3; }
  // A word that is not in a hole is never 0.
  static constexpr uint64_t word(uint64_t page, uint64_t index) {
    return is_hole(page) ? 0 : mix(page * kWords + index) | 1U;
  }
};

// Writes the image to a new file. Throws std::system_error.
void write_scratch_image(const std::string& path);

}  // namespace pager
