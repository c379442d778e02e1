// Unix stream sockets: listening without races, connecting with a deadline, descriptors across.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

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

// Who may be expected at a socket path that exists already.
enum class SocketClaim {
  by_lock,  // other servers may want the path: hold PATH.lock, and ask the present socket first
  directory_is_ours,  // the directory belongs to this server alone: a socket there is a leftover
};

// A listening socket, 0600, non-blocking. It is unlinked at the end if the path is still this
// one's.
class UnixListener {
 public:
  // Throws Refused when another server lives there, UsageError for a bad path, std::system_error.
  // What stands at the path and is no socket is never removed (EEXIST).
  UnixListener(const std::string& path, SocketClaim claim);
  UnixListener(UnixListener&&) noexcept;
  UnixListener& operator=(UnixListener&&) = delete;
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  ~UnixListener();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  // Gives the socket file to another user, who alone (with root) can then connect.
  void give_to(uid_t uid) const;
  // The next waiting connection, non-blocking and close-on-exec; nothing when there is none (or it
  // is gone already). Throws std::system_error on EMFILE and the like.
  std::optional<Fd> accept() const;

 private:
  std::string path_;
  Fd lock_;
  Fd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

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
inline constexpr size_t kMaxReceivedFds = 16;

}  // namespace base
