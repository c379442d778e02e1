// SPDX-License-Identifier: Apache-2.0
// Polls the userfaultfd, pidfd and socket of a VMM, and checks whether its memory still exists.
#include "pager/faults/vmm_watch.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/error.h"
#include "pager/faults/pagemap.h"
#include "pager/kernel/clock.h"

namespace pager {
namespace {

// Returns the address of a page outside of all regions.
uint64_t outside_of(std::span<const hot::Region> regions) {
  uint64_t address = hot::kHugePage;
  while (const hot::Region* region = hot::find_region(regions, address)) {
    address = region->end();
  }
  return address;
}

enum Slot : size_t { kUffd, kWake, kPidfd, kSocket };

}  // namespace

VmmWatch::VmmWatch(int uffd, int socket, const Vmm& vmm, int wake,
                   std::span<const hot::Region> regions)
    : uffd_(uffd),
      unregistered_(outside_of(regions)),
      // The socket carries no further data. Only its hang-up matters, which poll always reports.
      fds_{{{.fd = uffd, .events = POLLIN, .revents = 0},
            {.fd = wake, .events = POLLIN, .revents = 0},
            {.fd = vmm.pidfd(), .events = POLLIN, .revents = 0},
            {.fd = socket, .events = 0, .revents = 0}}} {
  const std::optional<bool> mapped = maps_regions(vmm, regions);
  pidfd_is_the_owners_ = vmm.pidfd() >= 0 && mapped.value_or(false);
  if (mapped == false) {
    peer_gone_ = true;
    check_after_ns_ = kSecond;
  }
}

// Each descriptor reports its end once and is then ignored, because it stays readable and would end
// every wait.
bool VmmWatch::peer_is_gone() {
  const auto ended = [&](Slot slot) {
    const bool is = fds_[slot].fd >= 0 && fds_[slot].revents != 0;
    fds_[slot].fd = is ? -1 : fds_[slot].fd;
    return is;
  };
  const bool process_ended = ended(kPidfd);
  const bool socket_ended = ended(kSocket);
  return process_ended || (socket_ended && !pidfd_is_the_owners_);
}

bool VmmWatch::wait(std::optional<uint64_t> wait_ns) {
  if (peer_gone_) {
    wait_ns = std::min(wait_ns.value_or(check_after_ns_), check_after_ns_);
  }
  struct timespec limit {};
  if (wait_ns) {
    limit = {.tv_sec = static_cast<time_t>(*wait_ns / kSecond),
             .tv_nsec = static_cast<long>(*wait_ns % kSecond)};
  }
  const int n = ::ppoll(fds_.data(), fds_.size(), wait_ns ? &limit : nullptr, nullptr);
  if (n < 0 && errno != EINTR) {
    base::throw_errno("cannot wait for a VMM");
  }
  if (n > 0 && (fds_[kUffd].revents & POLLERR) != 0) {
    // poll(2) reports POLLERR for a userfaultfd in blocking mode. The mode is shared by all copies
    // of the descriptor, so the VMM has changed it. Set it back.
    ::fcntl(uffd_, F_SETFL, O_RDWR | O_NONBLOCK);
  }
  if (n > 0 && peer_is_gone()) {
    peer_gone_ = true;
    check_after_ns_ = 0;
  }
  if (peer_gone_) {
    if (!memory_is_alive(uffd_, unregistered_)) {
      return false;
    }
    check_after_ns_ = std::clamp(check_after_ns_ * 2, kMillisecond, kSecond);
  }
  return true;
}

}  // namespace pager
