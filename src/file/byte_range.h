// SPDX-License-Identifier: Apache-2.0
// A range of bytes of a file.
#pragma once

#include <sys/types.h>

namespace file {

// The bytes from `begin` up to `end`, which is not part of the range.
struct ByteRange {
  off_t begin = 0;
  off_t end = 0;

  off_t size() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

}  // namespace file
