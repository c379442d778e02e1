// SPDX-License-Identifier: Apache-2.0
// Installs pages in a VMM: the contents of the image, and zeros for holes and removed pages.
#pragma once

#include <algorithm>
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

// Why a fill stopped.
enum class Stop {
  done,
  again,       // a removal is in progress: read events, then try again
  no_memory,   // the VMM has reached its memory limit
  unreadable,  // `error`: errno of the read; ENODATA: the file was truncated
  gone,        // no longer registered
  over,        // the VMM has ended
  failed,      // `error`: unexpected, such as a mapping of another page size
};

struct Filled {
  Stop stop = Stop::done;
  int error = 0;
  uint64_t read_until_ns = 0;   // of a demand fault: when the image was read; 0: it was not
  bool answered = false;        // the wanted page is present, and its waiters are woken
  bool present_before = false;  // it was present before (2 MiB: or the pool is empty)
};

// Belongs to one thread. The arguments of the constructor must outlive it.
class PageFiller {
 public:
  PageFiller(int uffd, PageTable& table, const Image& image, Counters& counters);
  ~PageFiller();
  PageFiller(const PageFiller&) = delete;
  PageFiller(PageFiller&&) = delete;
  PageFiller& operator=(const PageFiller&) = delete;
  PageFiller& operator=(PageFiller&&) = delete;

  // The most that one call fills: 128 KiB, or one page of 2 MiB. A piece of this size between two
  // reads of events does not slow down demand faults (measured: median 49 us, against 50 to 56 us
  // without prefetch).
  static constexpr uint64_t kMaxBytes = uint64_t{128} << 10U;

  // Returns whether the contents of `page` are known to be zero: it was removed by the VMM, or is a
  // hole.
  bool is_zero(const PageTable::RegionPages& in, uint64_t page) const;

  // Installs pages of one region, in ascending order; adjacent pages share a call. `wanted` is the
  // page that a fault waits for; without it the call is a prefetch. Calls that meet a removal in
  // progress are repeated in place, up to `retries` times and until an event can be read.
  Filled fill(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
              std::optional<uint64_t> wanted, int retries);
  // Installs pages that no fault waits for; without pages it is done.
  Stop prefetch(const PageTable::RegionPages& in, std::span<const uint64_t> pages) {
    return fill(in, pages, std::nullopt, 0).stop;
  }
  // The same with the contents of the pages, at `contents`, instead of the image.
  Stop prefetch_from(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
                     std::span<const std::byte* const> contents);
  // The number of pages in a piece of `bytes`: at least one.
  static uint64_t pages_in(uint64_t bytes, const PageTable::RegionPages& in) {
    return std::max(uint64_t{1}, bytes / in.region.page_size);
  }

 private:
  // The source of a page.
  enum class Source : uint8_t {
    zeros,
    mapped,  // COPY from the mapped image: half the cost of read and COPY
    read,    // into the buffer, to compare it or to get the errno
  };
  // Adjacent pages that have the same source.
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
    int retries;
    Wake wake;
  };

  Filled fill_one(const PageTable::RegionPages& in, uint64_t page, int retries);
  bool is_mapped_data(uint64_t offset) const;
  void choose_sources(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
                      bool demand);
  void find_mapped_zeros(const PageTable::RegionPages& in, std::span<const uint64_t> pages);
  void make_runs(const PageTable::RegionPages& in, std::span<const uint64_t> pages);
  void fill_run(const Run& run, Task& task, Filled& total);
  void fill_read(const Run& run, Task& task, Filled& total);
  void install(const Run& run, const std::byte* source, Task& task, Filled& total);
  RangeResult call(const Run& run, const std::byte* source, uint64_t page, Wake wake) const;
  void note_present(const Run& run, uint64_t page, const Task& task, Filled& total);
  void note_failure(int error, Task& task, Filled& total);
  bool may_repeat(Task& task) const;
  int read(const Run& run);
  bool from_mapping(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
                    bool demand) const;

  int uffd_;
  PageTable& table_;
  const Image& image_;
  Counters& counters_;
  // The pages of one call, which stay in the CPU cache. The same number of zero bytes follows.
  std::span<std::byte> buffer_;
  const std::byte* zeros_ = nullptr;
  std::vector<Source> sources_;  // of the pages of a call
  std::vector<Run> runs_;
};

}  // namespace pager
