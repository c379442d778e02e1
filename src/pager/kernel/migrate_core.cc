// SPDX-License-Identifier: Apache-2.0
// Moves a thread by shrinking and restoring its affinity mask.
#include "pager/kernel/migrate_core.h"

#include <sched.h>

namespace pager {

bool move_to_other_core() {
  cpu_set_t allowed;
  // EINVAL means more than 1024 cores. The scheduler then has other cores for the VMM.
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    return false;
  }
  cpu_set_t others = allowed;
  const int here = ::sched_getcpu();
  if (here < 0) {
    return false;
  }
  CPU_CLR(here, &others);
  if (CPU_COUNT(&others) == 0 || ::sched_setaffinity(0, sizeof others, &others) != 0) {
    return false;
  }
  return ::sched_setaffinity(0, sizeof allowed, &allowed) == 0;
}

}  // namespace pager
