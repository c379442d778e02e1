// SPDX-License-Identifier: Apache-2.0
// Sets and tests ranges of bits that several threads share.
#include "pager/image/residency.h"

#include <algorithm>

#include "hot/region.h"
#include "pager/kernel/clock.h"

namespace pager {
namespace {

constexpr uint64_t kBits = 64;

// Calls use(word, mask) for the words of a range of pages, while it returns true.
template <typename Use>
bool for_each_word(uint64_t offset, uint64_t bytes, const Use& use) {
  uint64_t page = offset / hot::kSmallPage;
  const uint64_t end = (offset + bytes + hot::kSmallPage - 1) / hot::kSmallPage;
  while (page < end) {
    const uint64_t bit = page % kBits;
    const uint64_t count = std::min(kBits - bit, end - page);
    const uint64_t mask = (count == kBits ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << bit;
    if (!use(page / kBits, mask)) {
      return false;
    }
    page += count;
  }
  return true;
}

}  // namespace

Residency::Residency(uint64_t image_bytes) : words_(image_bytes / hot::kSmallPage / kBits + 1) {}

bool Residency::known(uint64_t offset, uint64_t bytes) const {
  return for_each_word(offset, bytes, [this](uint64_t word, uint64_t mask) {
    return (words_[word].load(std::memory_order_acquire) & mask) == mask;
  });
}

void Residency::mark(uint64_t offset, uint64_t bytes) {
  for_each_word(offset, bytes, [this](uint64_t word, uint64_t mask) {
    words_[word].fetch_or(mask, std::memory_order_release);
    return true;
  });
}

void Residency::expire() {
  const uint64_t now = monotonic_ns();
  uint64_t since = since_ns_.load(std::memory_order_relaxed);
  if (now - since > kTrustNs && since_ns_.compare_exchange_strong(since, now)) {
    for (std::atomic<uint64_t>& word : words_) {
      word.store(0, std::memory_order_relaxed);
    }
  }
}

}  // namespace pager
