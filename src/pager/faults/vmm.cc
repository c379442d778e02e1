// SPDX-License-Identifier: Apache-2.0
// Identifies, checks and kills VMMs by pidfd.
#include "pager/faults/vmm.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/process.h"
#include "base/unix_socket.h"
#include "hot/region.h"
#include "pager/kernel/features.h"
#include "pager/kernel/kernel_abi.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

// Returns nothing if SO_PEERPIDFD is missing or disabled; an invalid Fd if the peer has ended.
std::optional<base::Fd> pidfd_of_peer(int socket) {
  if (!features().has(Feature::peerpidfd)) {
    return std::nullopt;
  }
  int fd = -1;
  socklen_t length = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &length) == 0) {
    return base::Fd(fd);
  }
  return errno == ENOPROTOOPT ? std::nullopt : std::optional(base::Fd());
}

// Opens a pidfd by pid. The start time is read before and after the open; if both are equal, it is
// that of the process that the pidfd identifies. The pid can have been reused only between the
// connect and this call.
base::Fd pidfd_of_number(pid_t pid) {
  const std::optional<uint64_t> before = base::process_start_time(pid);
  std::optional<base::Fd> opened = before ? base::open_pidfd(pid) : std::nullopt;
  return opened && base::process_start_time(pid) == before ? std::move(*opened) : base::Fd();
}

}  // namespace

Vmm Vmm::of_peer(int socket) {
  const base::PeerCredentials peer = base::peer_credentials(socket);
  Vmm vmm;
  vmm.pid_ = peer.pid;
  vmm.uid_ = peer.uid;
  std::optional<base::Fd> pidfd = pidfd_of_peer(socket);
  vmm.pidfd_ = pidfd ? std::move(*pidfd) : pidfd_of_number(peer.pid);
  // The pidfd pins the pid, so the start time read here is that process's. Without a pidfd the pid
  // may have been reused: record nothing.
  vmm.start_time_ = vmm.pidfd_ ? base::process_start_time(peer.pid).value_or(0) : 0;
  return vmm;
}

Vmm Vmm::of_pidfd(base::Fd pidfd) {
  Vmm vmm;
  vmm.pidfd_ = std::move(pidfd);
  return vmm;
}

Vmm Vmm::duplicate() const {
  Vmm copy;
  copy.pid_ = pid_;
  copy.uid_ = uid_;
  copy.start_time_ = start_time_;
  if (pidfd_) {
    copy.pidfd_ = base::Fd(::fcntl(pidfd_.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy.pidfd_) {
      base::throw_errno("cannot duplicate a descriptor");
    }
  }
  return copy;
}

int Vmm::cannot_kill() const {
  if (!pidfd_) {
    return ESRCH;
  }
  return ::syscall(SYS_pidfd_send_signal, pidfd_.get(), 0, nullptr, 0) == 0 ? 0 : errno;
}

bool Vmm::kill() const {
  return pidfd_ && ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0;
}

bool memory_is_alive(int uffd, uint64_t unregistered) {
  // A living VMM returns ENOENT.
  return uffd_zeropage(uffd, unregistered, hot::kSmallPage).error != ESRCH;
}

}  // namespace pager
