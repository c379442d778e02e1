// SPDX-License-Identifier: Apache-2.0
// Waits for the faults of a VMM and for its end.
#pragma once

#include <poll.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

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

  // Waits until the userfaultfd has a message, `wait_ns` have passed (nothing: no limit), or `wake`
  // was written. Returns false if the VMM has ended.
  bool wait(std::optional<uint64_t> wait_ns);

 private:
  bool peer_is_gone();

  int uffd_;
  bool pidfd_is_the_owners_ = false;
  uint64_t unregistered_;
  std::array<struct pollfd, 4> fds_;
  bool peer_gone_ = false;
  uint64_t check_after_ns_ = 0;
};

}  // namespace pager
