// SPDX-License-Identifier: Apache-2.0
// Wrappers of the userfaultfd(2) calls that a page server makes, with a table of their errors.
#pragma once

#include <linux/userfaultfd.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fd.h"
#include "pager/kernel/kernel_abi.h"

namespace pager {

// The result of one ioctl on a range. `done` is the number of bytes, from the start of the range,
// that were installed before the ioctl stopped. EAGAIN with done > 0 means that it stopped early
// for any reason; a call that starts there returns the reason. The other values of `error` are
// answers of the kernel, not failures of the server:
//
//| 0       everything is installed, and waiters are woken
//| EAGAIN  with done == 0: a REMOVE is unread, or the madvise of a read one still runs
//| EEXIST  the first page is present (no waiter is woken); on hugetlb also: the pool is empty
//| ENOENT  the range is no longer registered
//| ESRCH   the VMM has ended
//| ENOMEM  the VMM has reached its memory limit
//| EFAULT  the source cannot be read
//| EINVAL  the memory does not support the call (ZEROPAGE on hugetlb)
struct RangeResult {
  int error = 0;
  uint64_t done = 0;
};

enum class Wake { yes, no };

// UFFDIO_COPY of `length` bytes (whole pages of the destination) from this process. The caller
// ensures that the range does not cross a region.
RangeResult uffd_copy(int uffd, uint64_t destination, const std::byte* source, uint64_t length,
                      Wake wake = Wake::yes);
// UFFDIO_ZEROPAGE; 4 KiB pages only.
RangeResult uffd_zeropage(int uffd, uint64_t start, uint64_t length, Wake wake = Wake::yes);
// UFFDIO_POISON: from now on a touch raises SIGBUS; a later COPY repairs the page. Linux 6.6.
RangeResult uffd_poison(int uffd, uint64_t start, uint64_t length);
// How many threads wait for a page, whether their faults were read or not: "total:" of the
// descriptor's fdinfo (proc(5)). 0 if that cannot be read.
uint64_t uffd_waiters(int uffd);
// UFFDIO_WAKE of all threads that wait in the range, which may be larger than the registered one.
// Returns 0 or an errno. Has no effect if no thread waits.
int uffd_wake(int uffd, uint64_t start, uint64_t length);
// UFFDIO_UNREGISTER: waiters are released, and missing pages read as zeros. Returns 0 or an errno.
int uffd_unregister(int uffd, uint64_t start, uint64_t length);

// Returns whether a message can be read.
bool uffd_readable(int uffd);
// Reads the pending messages that fit, without waiting, and returns their number. Throws
// std::system_error on any errno but EAGAIN and EINTR. The kernel returns page faults before
// removals, whatever their order was. O_NONBLOCK is shared by all copies of the descriptor and a
// VMM may clear it, so the read uses RWF_NOWAIT. If the kernel does not support that, the call may
// block until a signal arrives (ReadTicker), and then returns 0.
size_t uffd_read(int uffd, std::span<uffd_msg> messages);
// Returns whether a read of a userfaultfd supports RWF_NOWAIT (Linux 6.10). Consumes no message.
bool uffd_has_nowait_read(int uffd);

// Returns whether a descriptor that a peer sent is a userfaultfd, by its name in /proc/self/fd.
bool is_userfaultfd(int fd);

// Client side, as in Firecracker: creates a non-blocking, close-on-exec userfaultfd that also
// handles kernel faults (/dev/userfaultfd, else the system call), and calls UFFDIO_API with exactly
// UFFD_FEATURE_EVENT_REMOVE. Throws base::Unsupported if the kernel or the user's permissions do
// not allow it.
base::Fd uffd_create();
// UFFDIO_REGISTER in MISSING mode. Throws std::system_error.
void uffd_register_missing(int uffd, uint64_t start, uint64_t length);

}  // namespace pager
