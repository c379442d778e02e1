// SPDX-License-Identifier: Apache-2.0
// sched_setattr(2) by its number: the C library has it from 2.41 on, and the header of the kernel
// cannot be included beside <sched.h>.
#include "pager/kernel/short_slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "pager/kernel/clock.h"

namespace pager {
namespace {

// struct sched_attr, its first version.
struct SchedAttributes {
  uint32_t size = sizeof(SchedAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;  // of SCHED_OTHER: the slice, in ns
  uint64_t deadline = 0;
  uint64_t period = 0;
};

}  // namespace

void request_short_slice() {
  constexpr uint64_t kShortest = 100 * kMicrosecond;  // that the kernel permits
  SchedAttributes attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) == 0 &&
      attributes.policy == SCHED_OTHER) {
    attributes.runtime = kShortest;
    // An older kernel ignores it.
    static_cast<void>(::syscall(SYS_sched_setattr, 0, &attributes, 0));
  }
}

}  // namespace pager
