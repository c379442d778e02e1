// SPDX-License-Identifier: Apache-2.0
// Waits for the faults of a VMM and for its end.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/fd.h"
#include "hot/region.h"
#include "pager/faults/vmm.h"

namespace pager {

// The pidfd reports the end of a VMM if the process that connected has the memory mapped. A hang-up
// of the handshake socket alone proves nothing: Firecracker before 1.12 closes it after sending.
// Without a pidfd, or if another process (a launcher) sent the userfaultfd, memory_is_alive() is
// checked once a second.
class VmmWatch {
 public:
  // Borrows all descriptors. A write to `wake`, an eventfd, ends a wait.
  VmmWatch(int uffd, int socket, const Vmm& vmm, int wake, std::span<const hot::Region> regions);

  // Waits until the userfaultfd gets a message, `wait_ns` have passed (nothing: no limit), or
  // `wake` was written. Returns false if the VMM has ended. A message ends only one wait, the one
  // in which it arrives or the next: before another call, read the userfaultfd until a read returns
  // fewer messages than fit.
  bool wait(std::optional<uint64_t> wait_ns);

 private:
  void add(int fd, uint32_t events) const;
  void take(int fd, uint32_t events);

  int uffd_;
  int wake_;
  int socket_;
  bool pidfd_is_the_owners_ = false;
  uint64_t unregistered_;
  base::Fd epoll_;
  bool peer_gone_ = false;
  uint64_t check_after_ns_ = 0;
};

}  // namespace pager
