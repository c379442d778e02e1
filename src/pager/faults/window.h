// SPDX-License-Identifier: Apache-2.0
// What to install beside the page that was asked for, and when.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace pager {

// Half-open, in pages as PageTable numbers them. What lies outside of the region of the fault is
// its caller's to cut off.
struct PageSpan {
  uint64_t first = 0;
  uint64_t count = 0;
  uint64_t end() const { return first + count; }
};

// A guest that walks through memory gets a growing window at once; one that jumps gets the page
// alone at once, and the rest only when nothing else waits. Several vCPUs walk in several places,
// and several of them in one: a few streams are followed, and none is broken by faults that come a
// little out of order. Belongs to one thread.
class Window {
 public:
  static constexpr uint64_t kMostAtOnce = 32;  // 128 KiB of 4 KiB pages: see PageFiller
  static constexpr uint64_t kMostAhead = 128;  // of a walk: 512 KiB
  static constexpr uint64_t kLargest = 512;    // of --window: 2 MiB
  static constexpr uint64_t kZeroBlock = 64;   // zero pages cost next to nothing: 8 us for 256 KiB

  static Window automatic() { return Window(0); }
  // `pages` for each fault, at most kLargest. 1 is the page alone, whatever the guest does.
  static Window fixed(uint64_t pages) { return Window(std::min(pages, kLargest)); }
  static Window lazy() { return fixed(1); }
  // What `setting` of another has said.
  static Window of_setting(uint64_t setting) { return setting == 0 ? automatic() : fixed(setting); }
  uint64_t setting() const { return fixed_; }  // pages; 0: automatic

  struct Plan {
    PageSpan now;    // with the page that was asked for
    PageSpan later;  // may be empty
  };

  // For a fault at `page`, which is not known to be there.
  Plan plan(uint64_t page) {
    if (fixed_ == 1) {
      return {.now = {.first = page, .count = 1}, .later = {}};
    }
    if (Stream* stream = stream_of(page)) {
      stream->size = fixed_ != 0 ? fixed_ : std::min(stream->size * 4, kMostAhead);
      const uint64_t now = std::min(stream->size, kMostAtOnce);
      // One that is a little ahead of others: what it has passed over is asked for next.
      const uint64_t first = std::min(page, stream->next);
      const uint64_t start = page - first < now ? first : page;
      stream->next = std::max(stream->next, start + stream->size);
      return {.now = {.first = start, .count = now},
              .later = {.first = start + now, .count = stream->size - now}};
    }
    streams_[oldest_++ % streams_.size()] = {.next = page + 1, .size = 1};
    return {.now = {.first = page, .count = 1},
            .later = fixed_ == 0 ? PageSpan{} : PageSpan{page - page % fixed_, fixed_}};
  }

  bool is_automatic() const { return fixed_ == 0; }
  // Pages of a hole to fill around a fault in it; aligned.
  uint64_t zero_block() const { return fixed_ == 1 ? 1 : kZeroBlock; }

 private:
  struct Stream {
    uint64_t next = 0;  // the end of what was planned for it
    uint64_t size = 0;  // of the last plan; 0: no stream
  };
  static constexpr uint64_t kSlack = 8;

  explicit Window(uint64_t fixed) : fixed_(fixed) {}

  // A walk faults at the end of its window, or (another vCPU of it) a few pages further, or in a
  // part of it that was planned for later and is not there yet.
  Stream* stream_of(uint64_t page) {
    for (Stream& stream : streams_) {
      if (stream.size != 0 && page + stream.size > stream.next && page < stream.next + kSlack) {
        return &stream;
      }
    }
    return nullptr;
  }

  uint64_t fixed_;
  std::array<Stream, 8> streams_{};
  size_t oldest_ = 0;
};

}  // namespace pager
