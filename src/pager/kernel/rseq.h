// SPDX-License-Identifier: Apache-2.0
// Restartable sequences (rseq(2)), which a thread that waits often is better off without.
#pragma once

namespace pager {

// glibc registers each thread with rseq(2). The kernel then writes the thread's processor into its
// memory each time the thread continues: 0.1 us of a fault. Only sched_getcpu(3) uses that, and it
// has another way. Unregisters the calling thread; does nothing if that is not possible.
void leave_rseq();

}  // namespace pager
