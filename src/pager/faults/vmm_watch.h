// SPDX-License-Identifier: Apache-2.0
// Waiting for a VMM: for its faults, and for its end.
#pragma once

#include <poll.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "hot/region.h"
#include "pager/faults/vmm.h"

namespace pager {

// The end of a VMM is seen by its pidfd, if the process that connected has the memory mapped. A
// hang-up of the handshake socket alone proves nothing: Firecracker before 1.12 closes it as soon
// as it has sent. Where there is no pidfd, or another process (a launcher) has sent the
// userfaultfd, what decides is the memory itself, asked about once a second.
class VmmWatch {
 public:
  // Borrows all descriptors. `wake` is an eventfd that ends a wait.
  VmmWatch(int uffd, int socket, const Vmm& vmm, int wake, std::span<const hot::Region> regions);

  // Waits until the userfaultfd has a message, or `wait_ns` have passed (nothing: without limit),
  // or `wake` was written. False when the VMM has ended.
  bool wait(std::optional<uint64_t> wait_ns);

 private:
  bool peer_is_gone();

  int uffd_;
  bool pidfd_is_the_owners_;
  uint64_t unregistered_;
  std::array<struct pollfd, 4> fds_;
  bool peer_gone_ = false;
  uint64_t check_after_ns_ = 0;
};

}  // namespace pager
