// SPDX-License-Identifier: Apache-2.0
// Puts pages into a VMM: what the image holds, zeros where it holds nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pager/faults/counters.h"
#include "pager/faults/session_state.h"
#include "pager/image/image.h"
#include "pager/kernel/uffd.h"

namespace pager {

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

  // The most that one call may fill: 128 KiB, or one page of 2 MiB. A piece of that size between
  // two reads of events costs the demand path nothing (measured: 49 us median against 50 to 56
  // without any).
  static constexpr uint64_t kMaxBytes = uint64_t{128} << 10U;

  // Whether `page` needs no bytes of the image: it was removed by the VMM, or is a hole.
  bool is_zero(const PageTable::RegionPages& in, uint64_t page) const;

  // Installs pages of one region, which ascend; neighbours go in one call. `wanted` is the one
  // among them that a fault waits for; without it this is prefetch. Calls that meet a removal under
  // way are repeated in place, up to `patience` times and until there is something to read.
  Filled fill(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
              std::optional<uint64_t> wanted, int patience);

 private:
  // Where the contents of a page come from.
  enum class Source : uint8_t {
    zeros,
    mapped,  // COPY straight from the mapped image: saves the copy of a read, half of the cost
    read,    // into the buffer, to look at it or to learn why it cannot be read
  };
  // Neighbours with one source.
  struct Run {
    const PageTable::RegionPages* in = nullptr;
    uint64_t first = 0;
    uint64_t count = 0;
    Source source = Source::zeros;

    uint64_t end() const { return first + count; }
    uint64_t bytes() const { return count * in->region.page_size; }
  };
  struct Task {
    std::optional<uint64_t> wanted;
    int patience;
    Wake wake;
  };

  void choose_sources(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
                      bool demand);
  void look_at_mapped(const PageTable::RegionPages& in, std::span<const uint64_t> pages);
  void make_runs(const PageTable::RegionPages& in, std::span<const uint64_t> pages);
  void fill_run(const Run& run, Task& task, Filled& total);
  void fill_read(const Run& run, Task& task, Filled& total);
  void install(const Run& run, const std::byte* source, Task& task, Filled& total);
  bool may_repeat(Task& task) const;
  int read(const Run& run);

  int uffd_;
  PageTable& table_;
  const Image& image_;
  Counters& counters_;
  std::span<std::byte>
      buffer_;  // one call's pages, hot in the cache; and its size again in never-written zeros
  const std::byte* zeros_ = nullptr;
  std::vector<Source> sources_;  // of the pages of a call
  std::vector<Run> runs_;
};

}  // namespace pager
