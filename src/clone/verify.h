// SPDX-License-Identifier: Apache-2.0
// Compares a clone with its source.
#pragma once

#include <sys/types.h>

#include <string>

#include "clone/progress.h"

namespace cloning {

// Throws Refused unless the first `size` bytes of both files are equal and `dst` has no more. The
// data of `dst` is written out and read back from the device. Ranges that are holes in both files
// are not read. Throws std::system_error.
void require_same(int src, int dst, off_t size, int jobs, Progress& progress,
                  const std::string& src_path, const std::string& dst_path);

}  // namespace cloning
