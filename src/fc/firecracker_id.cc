// SPDX-License-Identifier: Apache-2.0
// Checks the characters of an id, and hashes an id that Firecracker refuses.
#include "fc/firecracker_id.h"

#include <algorithm>
#include <cstdint>

#include "base/hex.h"

namespace fc {
namespace {

constexpr size_t kMostBytes = 64;
constexpr uint64_t kFnvOffset = 14695981039346656037U;
constexpr uint64_t kFnvPrime = 1099511628211U;

bool is_accepted(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-';
}

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = kFnvOffset;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime;
  }
  return hash;
}

}  // namespace

std::string firecracker_id(std::string_view id) {
  constexpr unsigned kDigits = 16;
  return !id.empty() && id.size() <= kMostBytes && std::ranges::all_of(id, is_accepted)
             ? std::string(id)
             : "snapfork-" + base::hex_text(fnv1a(id), kDigits);
}

}  // namespace fc
