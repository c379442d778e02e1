// SPDX-License-Identifier: Apache-2.0
// Listens at a path without races, and without touching the files of other users.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/fd.h"
#include "base/file_status.h"

namespace base {

// How to decide whether an existing socket path is in use.
enum class SocketClaim {
  by_lock,  // other servers may use the path: hold PATH.lock, and probe the present socket first
  directory_is_ours,  // the directory belongs to this server alone: a socket in it is a leftover
};

// A listening socket, mode 0600, non-blocking. The destructor unlinks it if the path still refers
// to it.
class UnixListener {
 public:
  // Throws Refused if another server uses the path, UsageError for an invalid path,
  // std::system_error. A file at the path that is not a socket is never removed (EEXIST). With
  // `owner`, the socket belongs to that user; only this user and root can then connect. No other
  // file changes its owner, even if that user may change the directory.
  UnixListener(const std::string& path, SocketClaim claim, std::optional<uid_t> owner = {});
  // For a directory of this server: bound under a temporary name until publish() renames it to
  // `path`. An existing socket keeps its name until then, and is replaced in one step.
  static UnixListener prepare(const std::string& path, std::optional<uid_t> owner);
  void publish();
  // The listener of a server that was killed: its socket, and the lock beside it, if any. `file` is
  // that server's file(); is_reachable() returns whether it still has the path.
  static UnixListener adopt(const std::string& path, Fd socket, Fd lock, FileId file);
  // Another socket at the path of `old`, which was removed, with the lock of `old` if that still
  // has its name. Throws Refused if another server has taken the path.
  static UnixListener bind_again(const UnixListener& old, std::optional<uid_t> owner = {});
  FileId file() const { return id_; }
  bool is_reachable() const;

  UnixListener(UnixListener&&) noexcept;
  UnixListener& operator=(UnixListener&&) = delete;
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  ~UnixListener();

  int fd() const { return fd_.get(); }
  int lock() const { return lock_.get(); }  // of SocketClaim::by_lock; -1: none
  const std::string& path() const { return path_; }
  // From now on connect(2) fails (ECONNREFUSED, then ENOENT). Earlier connections can still be
  // accepted.
  void stop();
  // Returns the next waiting connection, non-blocking and close-on-exec; nothing if there is none
  // or it has closed already. Throws std::system_error for EMFILE and similar errors.
  std::optional<Fd> accept() const;

 private:
  UnixListener() = default;
  void listen_at(int directory, const std::string& name, std::optional<uid_t> owner);
  void unlink_own();

  std::string path_;
  std::string name_;  // its present path: path_, or a temporary name beside it
  Fd lock_;
  Fd fd_;
  FileId id_;
};

}  // namespace base
