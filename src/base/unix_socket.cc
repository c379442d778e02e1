// SPDX-License-Identifier: Apache-2.0
// Connects, sends and receives on unix stream sockets.
#include "base/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace base {
void check_socket_path(const std::string& path) {
  if (path.empty() || path.size() > kMaxSocketPath) {
    throw UsageError("socket path " + base::quoted(path) + " has " + std::to_string(path.size()) +
                     " bytes, not 1 to " + std::to_string(kMaxSocketPath) +
                     "; use a directory with a shorter path");
  }
}

struct sockaddr_un unix_address(const std::string& path) {
  check_socket_path(path);
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Fd make_unix_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    throw_errno("cannot create a socket");
  }
  return fd;
}

Fd open_socket_path(const std::string& path) {
  Fd file(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat st {};
  if (!file || ::fstat(file.get(), &st) != 0 || !S_ISLNK(st.st_mode)) {
    return file;
  }
  if (st.st_uid != 0 && st.st_uid != ::geteuid()) {
    errno = EACCES;
    return {};
  }
  return Fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
}

std::optional<Fd> connect_unix(const std::string& path, const Deadline& deadline) {
  check_socket_path(path);
  const Fd file = open_socket_path(path);
  if (!file) {
    if (errno == ENOENT) {
      return std::nullopt;
    }
    throw_errno("cannot connect to " + base::quoted(path));
  }
  struct sockaddr_un address = unix_address("/proc/self/fd/" + std::to_string(file.get()));
  bool has_proc = true;
  Fd fd = make_unix_socket();
  // With a full backlog, connect(2) of a non-blocking unix socket returns EAGAIN at once, and
  // poll(2) has no event for it.
  constexpr int kRetryMs = 2;
  while (::connect(fd.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) !=
         0) {
    if (errno == ENOENT && has_proc) {
      has_proc = false;  // a jail without /proc
      address = unix_address(path);
      continue;
    }
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return std::nullopt;
    }
    if (errno == EAGAIN && !deadline.passed()) {
      ::poll(nullptr, 0, kRetryMs);
    } else if (errno != EINTR) {
      throw_error_number(errno == EAGAIN ? ETIMEDOUT : errno,
                         "cannot connect to " + base::quoted(path));
    }
  }
  return fd;
}

PeerCredentials peer_credentials(int fd) {
  struct ucred credentials {};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    throw_errno("cannot read the peer's credentials");
  }
  return {.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

bool wait_for(int fd, short events, const Deadline& deadline) {
  for (;;) {
    struct pollfd poll_fd {
      .fd = fd, .events = events, .revents = 0
    };
    const int n = ::poll(&poll_fd, 1, deadline.poll_timeout());
    if (n > 0) {
      return true;
    }
    if (n == 0) {
      return false;
    }
    if (errno != EINTR) {
      throw_errno("cannot wait for a descriptor");
    }
  }
}

ssize_t send_packet(int socket, std::string_view data, std::span<const int> fds, int flags) {
  SNAPFORK_CHECK(!data.empty() && fds.size() <= kMaxReceivedFds);
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxReceivedFds)> control{};
  struct iovec part {
    .iov_base = const_cast<char*>(data.data()), .iov_len = data.size()
  };
  struct msghdr message {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    const ssize_t n = ::sendmsg(socket, &message, MSG_NOSIGNAL | flags);
    if (n >= 0 || errno != EINTR) {
      return n;
    }
  }
}

void send_with_fds(int socket, std::string_view data, std::span<const int> fds) {
  while (!data.empty()) {
    const ssize_t n = send_packet(socket, data, fds);
    if (n >= 0) {
      // The descriptors were sent with the first byte; the rest is plain data.
      data.remove_prefix(static_cast<size_t>(n));
      fds = {};
    } else if (errno == EAGAIN) {
      wait_for(socket, POLLOUT, Deadline::never());
    } else {
      throw_errno("cannot send");
    }
  }
}

Received recv_with_fds(int socket, std::span<std::byte> buffer, std::vector<Fd>& fds, int flags) {
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxReceivedFds)> control{};
  struct iovec part {
    .iov_base = buffer.data(), .iov_len = buffer.size()
  };
  struct msghdr message {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (errno == EAGAIN) {
      return {.would_block = true};
    }
    throw_errno("cannot receive");
  }
  for (struct cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return {.bytes = static_cast<size_t>(n), .fds_truncated = (message.msg_flags & MSG_CTRUNC) != 0};
}

}  // namespace base
