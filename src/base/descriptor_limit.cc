// SPDX-License-Identifier: Apache-2.0
// Raises RLIMIT_NOFILE.
#include "base/descriptor_limit.h"

#include <algorithm>

namespace base {

void raise_descriptor_limit(rlim_t needed) {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
      limit.rlim_cur < std::min(limit.rlim_max, needed)) {
    limit.rlim_cur = std::min(limit.rlim_max, needed);
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
  }
}

}  // namespace base
