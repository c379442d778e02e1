// SPDX-License-Identifier: Apache-2.0
// Unix stream sockets: connect with a deadline, credentials, descriptor passing.
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
// Throws UsageError, with both numbers, for a path that is too long or empty.
void check_socket_path(const std::string& path);
// A stream socket, non-blocking and close-on-exec. Throws std::system_error.
Fd make_unix_socket();
struct sockaddr_un unix_address(const std::string& path);

// Opens a socket, or another file, by O_PATH. A link that another user made is not followed: it
// could lead to a socket that this user may connect to and the other one may not. Root's links are
// followed. Fails with errno (EACCES for such a link).
Fd open_socket_path(const std::string& path);

// Returns a connected, non-blocking socket; nothing if no process listens there (ENOENT,
// ECONNREFUSED). Follows links as open_socket_path() does. Throws UsageError for a path that is too
// long, std::system_error (ETIMEDOUT after the deadline).
std::optional<Fd> connect_unix(const std::string& path, const Deadline& deadline);

struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};
// SO_PEERCRED: the process that connected. Throws std::system_error.
PeerCredentials peer_credentials(int fd);

// Waits until `fd` is ready for `events` (POLLIN, POLLOUT). Returns false if the deadline passes
// first. Hang-up and errors count as ready: the next call on `fd` reports them.
bool wait_for(int fd, short events, const Deadline& deadline);

// One sendmsg(2) of at least one byte, with at most kMaxReceivedFds descriptors (SCM_RIGHTS).
// Returns the number of bytes, or -1 with an errno, never EINTR. A peer that has ended is EPIPE.
ssize_t send_packet(int socket, std::string_view data, std::span<const int> fds, int flags = 0);

// Sends all bytes, the descriptors with the first. Waits while the socket is full. Throws
// std::system_error.
void send_with_fds(int socket, std::string_view data, std::span<const int> fds);

struct Received {
  size_t bytes = 0;            // 0: the peer has closed, or no data was available (see would_block)
  bool would_block = false;    // no data was available
  bool fds_truncated = false;  // MSG_CTRUNC: the peer sent more descriptors than fit
};
// One recvmsg(2), which does not block. Received descriptors are appended to `fds`, owned and
// close-on-exec, before the message is examined, so that every rejection closes them. One message
// has at most kMaxReceivedFds. Throws std::system_error.
// `flags` may be MSG_PEEK.
Received recv_with_fds(int socket, std::span<std::byte> buffer, std::vector<Fd>& fds,
                       int flags = 0);
// SCM_MAX_FD, the most descriptors that the kernel allows in a message. With less space the kernel
// would close the rest in the thread that receives, and a close may block.
inline constexpr size_t kMaxReceivedFds = 253;

}  // namespace base
