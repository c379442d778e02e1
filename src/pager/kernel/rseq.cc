// SPDX-License-Identifier: Apache-2.0
// Unregisters the area that glibc has registered for a thread.
#include "pager/kernel/rseq.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

#if __has_include(<sys/rseq.h>)  // glibc 2.35
#include <sys/rseq.h>
#endif

namespace pager {

void leave_rseq() {
#ifdef RSEQ_SIG
  constexpr unsigned kLength = 32;  // that glibc registers; for another length the call fails
  auto* area = static_cast<std::byte*>(__builtin_thread_pointer()) + __rseq_offset;
  static_cast<void>(::syscall(SYS_rseq, area, kLength, RSEQ_FLAG_UNREGISTER, RSEQ_SIG));
#endif
}

}  // namespace pager
