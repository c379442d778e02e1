// SPDX-License-Identifier: Apache-2.0
// Decides whether a refused peer must be killed, and logs refusals.
#include "pager/serve/refused_peer.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/message.h"
#include "base/unix_socket.h"
#include "pager/kernel/uffd.h"

namespace pager {

void Refusals::add(const Vmm& vmm, const std::string& reason, const std::string& outcome) {
  const std::lock_guard lock(mutex_);
  last_ = {.count = last_.count + 1,
           .pid = vmm.pid(),
           .uid = vmm.uid(),
           .reason = reason,
           .outcome = outcome};
}

std::optional<Refusals::Last> Refusals::last() const {
  const std::lock_guard lock(mutex_);
  return last_.count > 0 ? std::optional(last_) : std::nullopt;
}

// A VMM sends its userfaultfd with the first bytes. The reads are bounded, because a peer may send
// descriptors endlessly and each of them uses a slot of the server's table.
void RefusedPeer::receive_pending() {
  constexpr size_t kMostFds = 16;
  constexpr int kReads = 64;
  std::array<std::byte, size_t{16} << 10U> ignored{};
  try {
    for (int i = 0; socket && i < kReads && fds.size() <= kMostFds; ++i) {
      const base::Received received = base::recv_with_fds(socket.get(), ignored, fds);
      if (received.would_block || received.bytes == 0) {
        break;
      }
    }
  } catch (const std::system_error&) {
    // ECONNRESET: no more data arrives.
  }
  sent_userfaultfd = sent_userfaultfd || std::ranges::any_of(fds, [](const base::Fd& fd) {
                       return is_userfaultfd(fd.get());
                     });
}

std::string RefusedPeer::outcome() const {
  if (!sent_userfaultfd) {
    return "closed";
  }
  const bool kill = on_refusal == OnRefusal::kill && vmm.pid() != ::getpid();
  return kill && vmm.kill() ? "killed" : "hangs";
}

void RefusedPeer::enforce(const std::string& reason) {
  if (socket) {
    // Later sends of the peer fail, so the reads below see everything that it sent.
    static_cast<void>(::shutdown(socket.get(), SHUT_RD));
  }
  receive_pending();
  const std::string result = outcome();
  refusals->add(vmm, reason, result);
  if (!refusals->log.admit()) {
    return;
  }
  std::string message = "session " + base::quoted(session) + ": connection refused: process " +
                        std::to_string(vmm.pid()) + " of user " + std::to_string(vmm.uid()) + ": " +
                        reason;
  if (result == "killed") {
    message += "; killed it, because its guest would hang";
  } else if (result == "hangs") {
    message += on_refusal == OnRefusal::close
                   ? "; its guest hangs until its VMM is killed (--on-refusal=close)"
                   : "; cannot kill it: its guest hangs until its VMM is killed";
  }
  base::say_warning(message + refusals->log.note());
}

}  // namespace pager
