// SPDX-License-Identifier: Apache-2.0
// Which pages of an image can be installed without waiting for the disk, and reads of the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pager/faults/cold_reader.h"
#include "pager/faults/counters.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/session_state.h"
#include "pager/image/image.h"

namespace pager {

// Shared by the idle work of a session: the rests of windows, hot lists and completions. Each
// installs what is ready, and has a thread read the rest. Only one of them works at a time, so one
// thread is enough. The arguments of the constructor must outlive it. Belongs to one thread.
class ColdPages {
 public:
  ColdPages(const PageFiller& filler, const Image& image, const Counters& counters)
      : filler_(filler), image_(image), counters_(counters) {}

  // The number of pages at the start of `pages` (ascending, all of `in`) that are known to be zero
  // or are in the page cache.
  size_t ready(const PageTable::RegionPages& in, std::span<const uint64_t> pages) const;
  // Has the thread read `pages` (ascending, of any regions) for `user`, instead of what another
  // user asked for. Has no effect while it reads for this user.
  void read(const void* user, const PageTable& table, std::span<const uint64_t> pages,
            ColdReader::Pace pace);
  // Ends the thread, unless it reads.
  void rest();

 private:
  const PageFiller& filler_;
  const Image& image_;
  const Counters& counters_;
  const void* user_ = nullptr;
  std::unique_ptr<ColdReader> reader_;  // null: no page was cold so far
};

}  // namespace pager
