// SPDX-License-Identifier: Apache-2.0
// The window: which pages to install with the page of a fault, and when.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace pager {

// A half-open span of page numbers (PageTable). The caller clips it to the region of the fault.
struct PageSpan {
  uint64_t first = 0;
  uint64_t count = 0;
  uint64_t end() const { return first + count; }
};

// A guest that accesses memory sequentially gets a growing window at once. A guest with random
// accesses gets the page alone, and the rest only while no fault waits. Up to 8 sequential streams
// are tracked, because several vCPUs may access several areas, or the same one. Faults that arrive
// slightly out of order do not end a stream. Belongs to one thread.
class Window {
 public:
  static constexpr uint64_t kMostAtOnce = 32;  // 128 KiB of 4 KiB pages: see PageFiller
  static constexpr uint64_t kMostAhead = 128;  // of a stream: 512 KiB
  static constexpr uint64_t kLargest = 512;    // of --window: 2 MiB
  static constexpr uint64_t kZeroBlock = 64;   // zero pages are cheap: 8 us for 256 KiB
  static constexpr uint32_t kFactor = 2;       // of --window-factor
  static constexpr uint32_t kLargestFactor = 1000;

  // `factor`: see WindowCredit; 0: no bound.
  static Window automatic(uint32_t factor = kFactor) { return {0, factor}; }
  // Always `pages` for each fault, at most kLargest. 1 is the page alone.
  static Window fixed(uint64_t pages) { return {std::min(pages, kLargest), 0}; }
  static Window lazy() { return fixed(1); }
  // The inverse of setting() and factor().
  static Window of_setting(uint64_t setting, uint32_t factor) {
    return setting == 0 ? automatic(factor) : fixed(setting);
  }
  uint64_t setting() const { return fixed_; }  // pages; 0: automatic
  uint32_t factor() const { return factor_; }  // only an automatic window has one

  struct Plan {
    PageSpan now;    // contains the page of the fault
    PageSpan later;  // may be empty
    PageSpan
        walked;  // of a stream: pages before this one, since the last fault of it; may be empty
  };

  // Plans for a fault at `page`, which is not known to be present.
  Plan plan(uint64_t page) {
    if (fixed_ == 1) {
      return {.now = {.first = page, .count = 1}, .later = {}, .walked = {}};
    }
    if (Stream* stream = stream_of(page)) {
      stream->size = fixed_ != 0 ? fixed_ : std::min(stream->size * 4, kMostAhead);
      const uint64_t now = std::min(stream->size, kMostAtOnce);
      // The fault is slightly ahead of others of its stream: install the skipped pages, too.
      const uint64_t first = std::min(page, stream->next);
      const uint64_t start = page - first < now ? first : page;
      const PageSpan walked{.first = stream->walked,
                            .count = std::max(page, stream->walked) - stream->walked};
      stream->walked = std::max(page + 1, stream->walked);
      stream->next = std::max(stream->next, start + stream->size);
      return {.now = {.first = start, .count = now},
              .later = {.first = start + now, .count = stream->size - now},
              .walked = walked};
    }
    streams_[oldest_++ % streams_.size()] = {.next = page + 1, .size = 1, .walked = page + 1};
    return {.now = {.first = page, .count = 1},
            .later = fixed_ == 0 ? PageSpan{} : PageSpan{page - page % fixed_, fixed_},
            .walked = {}};
  }

  bool is_automatic() const { return fixed_ == 0; }
  // The size of the aligned block of pages to fill around a fault in a hole.
  uint64_t zero_block() const { return fixed_ == 1 ? 1 : kZeroBlock; }

 private:
  struct Stream {
    uint64_t next = 0;    // end of the last plan
    uint64_t size = 0;    // of the last plan; 0: unused
    uint64_t walked = 0;  // end of the pages that the guest has walked through
  };
  static constexpr uint64_t kSlack = 8;

  Window(uint64_t fixed, uint32_t factor) : fixed_(fixed), factor_(factor) {}

  // A stream faults at the end of its window, a few pages after it (another vCPU), or in a part
  // that was planned for later and is not installed yet.
  Stream* stream_of(uint64_t page) {
    for (Stream& stream : streams_) {
      if (stream.size != 0 && page + stream.size > stream.next && page < stream.next + kSlack) {
        return &stream;
      }
    }
    return nullptr;
  }

  uint64_t fixed_;
  uint32_t factor_;
  std::array<Stream, 8> streams_{};
  size_t oldest_ = 0;
};

}  // namespace pager
