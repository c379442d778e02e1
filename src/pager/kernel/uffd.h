// SPDX-License-Identifier: Apache-2.0
// The userfaultfd calls of a page server, with their odd results spelled out.
#pragma once

#include <linux/userfaultfd.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fd.h"
#include "pager/kernel/kernel_abi.h"

namespace pager {

// What one ioctl on a range came to. `done` is how many bytes from the start of the range were
// installed before it stopped; EAGAIN with done > 0 means "stopped early for any reason", and a
// call from there names the reason. The other values of `error`, all answers and not failures of
// ours:
//
//| 0       all installed, waiters woken
//| EAGAIN  with done == 0: an unread REMOVE, or the madvise behind a read one, is still under way
//| EEXIST  the first page is present already (nobody was woken); on hugetlb also: the pool is empty
//| ENOENT  the range is no longer registered
//| ESRCH   the VMM has ended
//| ENOMEM  the VMM's memory limit
//| EFAULT  the source could not be read
//| EINVAL  not for this kind of memory (ZEROPAGE on hugetlb)
struct RangeResult {
  int error = 0;
  uint64_t done = 0;
};

enum class Wake { yes, no };

// UFFDIO_COPY of `length` bytes (whole pages of the destination) from our memory. Never crosses a
// region: the caller sees to it.
RangeResult uffd_copy(int uffd, uint64_t destination, const std::byte* source, uint64_t length,
                      Wake wake = Wake::yes);
// UFFDIO_ZEROPAGE; 4 KiB pages only.
RangeResult uffd_zeropage(int uffd, uint64_t start, uint64_t length, Wake wake = Wake::yes);
// UFFDIO_POISON: a touch is SIGBUS from now on, a later COPY heals. Linux 6.6.
RangeResult uffd_poison(int uffd, uint64_t start, uint64_t length);
// UFFDIO_WAKE of all that wait in the range, which may be larger than what is registered. Returns 0
// or an errno; harmless when nobody waits.
int uffd_wake(int uffd, uint64_t start, uint64_t length);
// UFFDIO_UNREGISTER: waiters are released, what is missing becomes zero. Returns 0 or an errno.
int uffd_unregister(int uffd, uint64_t start, uint64_t length);

// Whether a message waits to be read.
bool uffd_readable(int uffd);
// Reads as many waiting messages as fit, without waiting. Returns how many; 0 when none waits.
// Throws std::system_error on anything else than EAGAIN and EINTR. The kernel hands out page faults
// before removals, whatever their order was. O_NONBLOCK belongs to all who have a copy of the
// descriptor, and a VMM may clear it: RWF_NOWAIT does without. Where the kernel has none, the call
// may block then, until a signal comes (ReadTicker), and returns 0.
size_t uffd_read(int uffd, std::span<uffd_msg> messages);
// Whether reads of a userfaultfd know RWF_NOWAIT (Linux 6.10). Reads nothing.
bool uffd_has_nowait_read(int uffd);

// Whether a descriptor that a peer sent is a userfaultfd (by its name under /proc/self/fd).
bool is_userfaultfd(int fd);

// Client side, as Firecracker does it: a non-blocking, close-on-exec userfaultfd for kernel faults
// too (/dev/userfaultfd, else the system call), UFFDIO_API done with exactly
// UFFD_FEATURE_EVENT_REMOVE. Throws base::Unsupported where this kernel or user may not have one.
base::Fd uffd_create();
// UFFDIO_REGISTER in MISSING mode. Throws std::system_error.
void uffd_register_missing(int uffd, uint64_t start, uint64_t length);

}  // namespace pager
