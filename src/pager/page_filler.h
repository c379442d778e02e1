// Puts runs of pages into a VMM: what the image holds, zeros where it holds nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "pager/counters.h"
#include "pager/image.h"
#include "pager/session_state.h"
#include "pager/uffd.h"

namespace pager {

// Pages of one region that are filled the same way.
struct Run {
  const PageTable::RegionPages* in = nullptr;
  uint64_t first = 0;
  uint64_t count = 0;
  bool zero = false;  // removed by the VMM, or a hole of the image

  uint64_t end() const { return first + count; }
};

// Why filling ended.
enum class Stop {
  done,
  again,       // a removal is under way: read events, then try again
  no_memory,   // the VMM may not have more
  unreadable,  // `error`: errno of the image; ENODATA: it has become shorter
  gone,        // not registered any more
  over,        // the VMM has ended
  failed,      // `error`: something that should not happen, such as a mapping of another page size
};

struct Filled {
  Stop stop = Stop::done;
  int error = 0;
  uint64_t pages = 0;           // installed now
  uint64_t read_ns = 0;         // of a demand fault: time spent in the image
  bool answered = false;        // the wanted page is there now, and who waited for it was woken
  bool present_before = false;  // ... and was there already (on 2 MiB pages perhaps: see FaultLoop)
};

// Belongs to one thread. What it borrows must outlive it.
class PageFiller {
 public:
  PageFiller(int uffd, PageTable& table, const Image& image, Counters& counters);
  ~PageFiller();
  PageFiller(const PageFiller&) = delete;
  PageFiller(PageFiller&&) = delete;
  PageFiller& operator=(const PageFiller&) = delete;
  PageFiller& operator=(PageFiller&&) = delete;

  // The largest run: 128 KiB, or one page of 2 MiB. A piece of that size between two reads of
  // events costs the demand path nothing (measured: 49 us median against 50 to 56 without any).
  static constexpr uint64_t kMaxRunBytes = uint64_t{128} << 10U;

  // Whether `page` needs no bytes of the image.
  bool is_zero(const PageTable::RegionPages& in, uint64_t page) const;
  // `page` and those of the `ahead` pages after it that are not installed and of the same kind, up
  // to the first that is not. In a hole it is what of the aligned block of `zero_block` pages
  // around `page` is a hole too: zero pages cost next to nothing (1 us for 64 KiB).
  Run run_from(const PageTable::RegionPages& in, uint64_t page, uint64_t ahead,
               uint64_t zero_block) const;

  // Installs a run. `wanted` is the page that a fault waits for; without it this is prefetch. Calls
  // that meet a removal under way are repeated in place up to `patience` times.
  Filled fill(const Run& run, std::optional<uint64_t> wanted, int patience);

 private:
  int read(const Run& run);
  Filled install(const Run& run, const std::byte* source, std::optional<uint64_t> wanted, Wake wake,
                 int& patience);

  int uffd_;
  PageTable& table_;
  const Image& image_;
  Counters& counters_;
  std::span<std::byte>
      buffer_;  // one run, hot in the cache; and its size again in never-written zeros
  const std::byte* zeros_ = nullptr;
};

}  // namespace pager
