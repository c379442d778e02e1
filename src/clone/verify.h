// SPDX-License-Identifier: Apache-2.0
// Comparing a clone with its source.
#pragma once

#include <sys/types.h>

#include <string>

#include "clone/progress.h"

namespace cloning {

// Throws Refused unless the first `size` bytes of the two are the same and `dst` has no more.
// `dst`'s data is written out and read back from the device. Holes of both are not read. Throws
// std::system_error.
void require_same(int src, int dst, off_t size, int jobs, Progress& progress,
                  const std::string& src_path, const std::string& dst_path);

}  // namespace cloning
