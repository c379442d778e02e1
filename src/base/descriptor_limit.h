// SPDX-License-Identifier: Apache-2.0
// The limit on open descriptors.
#pragma once

#include <sys/resource.h>

namespace base {

// Raises the soft limit RLIMIT_NOFILE to `needed`, or to the hard limit if that is lower. The soft
// limit of many systems is 1024, for programs that use select(2). A failure is not reported: a
// later call that runs out of descriptors reports EMFILE.
void raise_descriptor_limit(rlim_t needed = RLIM_INFINITY);

}  // namespace base
