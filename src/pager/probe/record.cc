// SPDX-License-Identifier: Apache-2.0
// Stores an exception in shared memory and restores it.
#include "pager/probe/record.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace pager {

void SharedFailure::set(const std::exception& error) {
  const std::string_view message = error.what();
  std::memcpy(message_.data(), message.data(), std::min(message.size(), message_.size() - 1));
  code_ = base::exit_code_of(error);
  is_set_.store(true, std::memory_order_release);
}

std::optional<base::Error> SharedFailure::get() const {
  if (!is_set_.load(std::memory_order_acquire)) {
    return std::nullopt;
  }
  return base::Error(code_, message_.data());
}

}  // namespace pager
