// How many pages beyond the one that was asked for are worth installing at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace pager {

// A guest that walks through memory gets a growing window, one that jumps gets the page alone.
// Several vCPUs walk in several places: a few streams are followed at once. Pages are numbered as
// in PageTable.
class Window {
 public:
  static constexpr uint64_t kMaxPages = 32;  // 128 KiB of 4 KiB pages

  static Window automatic() { return Window(0); }
  // `pages` for every fault: 1 is the page alone, at most kMaxPages.
  static Window fixed(uint64_t pages) { return Window(std::min(pages, kMaxPages)); }

  // Pages to install for a fault at `page`, that one counted.
  uint64_t pages_for(uint64_t page) {
    if (fixed_ != 0) {
      return fixed_;
    }
    for (current_ = 0; current_ < streams_.size(); ++current_) {
      Stream& stream = streams_[current_];
      if (stream.next == page) {
        stream.size = std::min(stream.size * 4, kMaxPages);
        return stream.size;
      }
    }
    current_ = oldest_++ % streams_.size();
    streams_[current_] = {.next = page + 1, .size = 1};
    return 1;
  }
  // Pages of a hole to fill around a fault in it; aligned.
  uint64_t zero_block() const { return fixed_ == 1 ? 1 : kMaxPages; }
  // What was installed for it ended before `page`: a walk faults there next.
  void installed_until(uint64_t page) { streams_[current_].next = page; }

 private:
  struct Stream {
    uint64_t next = UINT64_MAX;
    uint64_t size = 1;
  };

  explicit Window(uint64_t fixed) : fixed_(fixed) {}

  uint64_t fixed_;
  std::array<Stream, 8> streams_{};
  size_t current_ = 0;  // the stream of the last fault
  size_t oldest_ = 0;
};

}  // namespace pager
