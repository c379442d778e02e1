// SPDX-License-Identifier: Apache-2.0
// Unix stream sockets: connecting with a deadline, credentials, descriptors across.
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"

namespace base {

// sun_path holds 108 bytes with the terminator (unix(7)).
inline constexpr size_t kMaxSocketPath = 107;
// Throws UsageError, with both numbers, for a longer path or an empty one.
void check_socket_path(const std::string& path);
// A stream socket, non-blocking and close-on-exec. Throws std::system_error.
Fd make_unix_socket();
struct sockaddr_un unix_address(const std::string& path);

// A connected, non-blocking socket; nothing when nobody listens there (ENOENT, ECONNREFUSED).
// Throws UsageError for a long path, std::system_error (ETIMEDOUT past the deadline).
std::optional<Fd> connect_unix(const std::string& path, const Deadline& deadline);

struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};
// SO_PEERCRED: who connected. Throws std::system_error.
PeerCredentials peer_credentials(int fd);

// Waits until `fd` is ready for `events` (POLLIN, POLLOUT); false when the deadline passed first.
// Hang-up and errors count as ready: the next call on it tells.
bool wait_for(int fd, short events, const Deadline& deadline);

// One sendmsg with descriptors (SCM_RIGHTS) and at least one byte. Throws std::system_error.
void send_with_fds(int socket, std::string_view data, std::span<const int> fds);

struct Received {
  size_t bytes = 0;            // 0: the peer has closed, or nothing was there (see would_block)
  bool would_block = false;    // nothing was there yet
  bool fds_truncated = false;  // MSG_CTRUNC: the peer sent more descriptors than fit
};
// One recvmsg (not blocking). Descriptors that came along are appended to `fds`, owned and
// close-on-exec, before anything is looked at, so that every rejection closes them. At most
// kMaxReceivedFds in one message. Throws std::system_error.
Received recv_with_fds(int socket, std::span<std::byte> buffer, std::vector<Fd>& fds);
// SCM_MAX_FD, the most that the kernel lets a message have. With less room it would close the rest
// itself, in the thread that receives, and a close may block.
inline constexpr size_t kMaxReceivedFds = 253;

}  // namespace base
