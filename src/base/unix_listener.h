// SPDX-License-Identifier: Apache-2.0
// Listening at a path: without races, and without touching what others put there.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/fd.h"

namespace base {

// How to decide whether an existing socket path is in use.
enum class SocketClaim {
  by_lock,  // other servers may want the path: hold PATH.lock, and ask the present socket first
  directory_is_ours,  // the directory belongs to this server alone: a socket there is a leftover
};

// A listening socket, 0600, non-blocking. It is unlinked at the end if the path is still this
// one's.
class UnixListener {
 public:
  // Throws Refused when another server lives there, UsageError for a bad path, std::system_error.
  // What stands at the path and is not a socket is never removed (EEXIST). With `owner` the socket
  // belongs to that user, who alone (with root) can then connect; no other file changes its owner,
  // also where that user may change the directory.
  UnixListener(const std::string& path, SocketClaim claim, std::optional<uid_t> owner = {});
  // In a directory of ours: bound under a temporary name until publish() renames it to `path`. A
  // socket that stands there keeps its name until then, and is replaced in one step.
  static UnixListener prepare(const std::string& path, std::optional<uid_t> owner);
  void publish();

  UnixListener(UnixListener&&) noexcept;
  UnixListener& operator=(UnixListener&&) = delete;
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  ~UnixListener();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  // From now on connect(2) fails (ECONNREFUSED, then ENOENT). The connections made before can
  // still be accepted.
  void stop();
  // The next waiting connection, non-blocking and close-on-exec; nothing when there is none (or it
  // is gone already). Throws std::system_error on EMFILE and the like.
  std::optional<Fd> accept() const;

 private:
  UnixListener() = default;
  void listen_at(int directory, const std::string& name, std::optional<uid_t> owner);
  void unlink_own();

  std::string path_;
  std::string name_;  // where it stands now: path_, or a temporary name beside it
  Fd lock_;
  Fd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace base
