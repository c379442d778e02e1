// SPDX-License-Identifier: Apache-2.0
// Which pages of an image were found in the page cache a moment ago.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pager {

// A bit for each page of hot::kSmallPage. A page whose bit is set was in the page cache at most
// kTrustNs ago, so a prefetch may use it on the thread that answers faults. The sessions of an
// image share the bits: only the first one of them has to ask the kernel. Thread-safe.
class Residency {
 public:
  static constexpr uint64_t kTrustNs = 10'000'000'000;

  explicit Residency(uint64_t image_bytes);

  // Whether all pages of [offset, offset + bytes) are marked.
  bool known(uint64_t offset, uint64_t bytes) const;
  void mark(uint64_t offset, uint64_t bytes);
  // Forgets all marks if the first of them may be older than kTrustNs. Called before a part of a
  // list is installed.
  void expire();

 private:
  std::vector<std::atomic<uint64_t>> words_;
  std::atomic<uint64_t> since_ns_{0};  // time of the last clear
};

}  // namespace pager
