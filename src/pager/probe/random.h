// SPDX-License-Identifier: Apache-2.0
// Reproducible random numbers: the same seed touches the same pages on every machine.
#pragma once

#include <cstdint>

namespace pager {

// The mixing function of splitmix64. The result depends on every bit of `x`.
constexpr uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

// splitmix64. The standard library's distributions differ between implementations.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    const uint64_t result = mix(state_);
    state_ += 0x9e3779b97f4a7c15U;
    return result;
  }
  // From 0 to limit - 1. The bias of the remainder does not matter for counts of pages.
  uint64_t below(uint64_t limit) { return next() % limit; }

 private:
  uint64_t state_;
};

}  // namespace pager
