#include "pager/vmm.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/process.h"
#include "base/unix_socket.h"
#include "pager/region.h"
#include "pager/uffd.h"

// Debian 12's headers are those of Linux 6.1 (include/uapi/asm-generic/socket.h, Linux 6.5).
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace pager {
namespace {

base::Fd pidfd_of_peer(int socket) {
  int fd = -1;
  socklen_t length = sizeof fd;
  return base::Fd(::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &length) == 0 ? fd : -1);
}

}  // namespace

Vmm Vmm::of_peer(int socket) {
  const base::PeerCredentials peer = base::peer_credentials(socket);
  Vmm vmm;
  vmm.pid_ = peer.pid;
  vmm.uid_ = peer.uid;
  vmm.pidfd_ = pidfd_of_peer(socket);
  if (!vmm.pidfd_ && peer.pid > 0) {
    if (std::optional<base::Fd> opened = base::open_pidfd(peer.pid)) {
      vmm.pidfd_ = std::move(*opened);
    }
  }
  // Read after the descriptor is there: it is the start time of the process that the descriptor
  // means, or of none. (A number can be given out again between connect and pidfd_open only where
  // the peer has ended; then its memory is gone too, and the first answer to a fault says so.)
  vmm.start_time_ = base::process_start_time(peer.pid).value_or(0);
  return vmm;
}

bool Vmm::kill() const {
  return pidfd_ && ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0;
}

bool memory_is_alive(int uffd, uint64_t unregistered) {
  // ENOENT from a living one.
  return uffd_zeropage(uffd, unregistered, kSmallPage).error != ESRCH;
}

}  // namespace pager
