// SPDX-License-Identifier: Apache-2.0
// Binds, publishes and removes listening unix sockets.
#include "base/unix_listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "base/file_status.h"
#include "base/unix_socket.h"

namespace base {
namespace {

std::string directory_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

std::string last_component(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

[[noreturn]] void refuse_as_taken(const std::string& path) {
  throw Refused("cannot listen on " + base::quoted(path) +
                ": another server uses it; stop that server, or use another socket");
}

// Holds the lock file beside a socket as long as the server runs. The file is never removed. The
// directory may belong to another user, and then any file may have this name: a FIFO (an open
// would block), a link, or a file that the user keeps locked.
Fd claim_path(const std::string& path) {
  const std::string lock_path = path + ".lock";
  struct stat directory {};
  if (::stat(directory_of(path).c_str(), &directory) != 0 && errno == ENOENT) {
    throw Error(ExitCode::system, "cannot listen on " + base::quoted(path) + ": no directory " +
                                      base::quoted(directory_of(path)) + "; create it");
  }
  Fd lock = open_file(lock_path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
  const struct stat st = stat_fd(lock.get(), lock_path);
  if (!S_ISREG(st.st_mode) || st.st_uid != ::geteuid() || st.st_nlink > 1) {
    throw Refused("cannot lock " + base::quoted(lock_path) + ": " +
                  (!S_ISREG(st.st_mode)       ? "it is not a regular file"
                   : st.st_uid != ::geteuid() ? "it belongs to user " + std::to_string(st.st_uid)
                                              : "it has other names (hard links)") +
                  "; remove it");
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      refuse_as_taken(path);
    }
    throw_errno("cannot lock " + base::quoted(lock_path));
  }
  return lock;
}

// Removes the socket of a server that has ended. The socket of a live server without our lock file
// is not touched.
void remove_leftover(const std::string& path) {
  const std::optional<struct stat> st = try_lstat_path(path);
  if (!st) {
    return;
  }
  if (!S_ISSOCK(st->st_mode)) {
    throw_error_number(EEXIST, "cannot listen on " + base::quoted(path) + ": it is not a socket");
  }
  if (connect_unix(path, Deadline::after(std::chrono::seconds(1)))) {
    refuse_as_taken(path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    throw_errno("cannot remove the leftover socket " + base::quoted(path));
  }
}

// A directory beside the socket that only the user of this process can change, whoever can change
// the directory around it. A socket is created in it, gets its owner, and then moves to its name.
class PrivateDirectory {
 public:
  PrivateDirectory(int parent, const std::string& socket_name)
      : parent_(parent), name_("." + socket_name.substr(0, kNameBytes) + ".snapfork-tmp") {
    constexpr mode_t kMode = 0700;
    remove();  // the leftover of a killed server
    if (::mkdirat(parent_, name_.c_str(), kMode) != 0) {
      throw_errno("cannot create " + base::quoted(name_));
    }
    fd_ = open_at(parent_, name_, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    struct stat st {};
    if (::fstat(fd_.get(), &st) != 0 || st.st_uid != ::geteuid() || (st.st_mode & 077) != 0) {
      throw Refused("cannot use " + base::quoted(name_) +
                    ": another process has created a directory of that name");
    }
  }
  ~PrivateDirectory() { remove(); }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory(PrivateDirectory&&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(PrivateDirectory&&) = delete;

  int fd() const { return fd_.get(); }
  static constexpr const char* kSocket = "s";

 private:
  static constexpr size_t kNameBytes = 64;

  void remove() const {
    const Fd old(::openat(parent_, name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat st {};
    if (old && ::fstat(old.get(), &st) == 0 && st.st_uid == ::geteuid()) {
      ::unlinkat(old.get(), kSocket, 0);
      ::unlinkat(parent_, name_.c_str(), AT_REMOVEDIR);
    }
  }

  int parent_;
  std::string name_;
  Fd fd_;
};

}  // namespace

// Binds and listens at DIRECTORY/NAME; no other user can change that directory. `name` is a path if
// `directory` is AT_FDCWD.
void UnixListener::listen_at(int directory, const std::string& name, std::optional<uid_t> owner) {
  fd_ = make_unix_socket();
  // fchmod before bind determines the mode of the socket file: it never exists with a wider mode,
  // and the umask, which all threads share, stays unchanged.
  if (::fchmod(fd_.get(), 0600) != 0) {
    throw_errno("cannot set the mode of a socket");
  }
  // bind(2) has no variant with a directory descriptor.
  const struct sockaddr_un address = unix_address(
      directory == AT_FDCWD ? name : "/proc/self/fd/" + std::to_string(directory) + "/" + name);
  if (::bind(fd_.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("cannot bind " + base::quoted(path_));
  }
  struct stat st {};
  constexpr int kBacklog = 1024;
  if (::fstatat(directory, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 ||
      (owner && ::fchownat(directory, name.c_str(), *owner, static_cast<gid_t>(-1),
                           AT_SYMLINK_NOFOLLOW) != 0) ||
      ::listen(fd_.get(), kBacklog) != 0) {
    const int error = errno;
    ::unlinkat(directory, name.c_str(), 0);
    throw_error_number(
        error, "cannot listen on " + base::quoted(path_) +
                   (owner ? ", with user " + std::to_string(*owner) + " as its owner" : ""));
  }
  id_ = file_id(st);
}

UnixListener UnixListener::prepare(const std::string& path, std::optional<uid_t> owner) {
  check_socket_path(path);
  // Shorter than the shortest name of a session's socket, so it fits wherever that name fits.
  static std::atomic<unsigned> next{0};
  UnixListener listener;
  listener.path_ = path;
  for (;;) {
    const std::string name =
        directory_of(path) + "/." + std::to_string(next.fetch_add(1, std::memory_order_relaxed));
    try {
      listener.listen_at(AT_FDCWD, name, owner);
      listener.name_ = name;
      return listener;
    } catch (const std::system_error& error) {
      if (error.code().value() != EADDRINUSE) {
        throw;
      }
    }
  }
}

void UnixListener::publish() {
  struct stat st {};
  if (::lstat(path_.c_str(), &st) == 0 && !S_ISSOCK(st.st_mode)) {
    throw_error_number(EEXIST, "cannot listen on " + base::quoted(path_));
  }
  if (::rename(name_.c_str(), path_.c_str()) != 0) {
    throw_errno("cannot listen on " + base::quoted(path_));
  }
  name_ = path_;
}

UnixListener UnixListener::adopt(const std::string& path, Fd socket, Fd lock, FileId file) {
  UnixListener listener;
  listener.path_ = path;
  listener.lock_ = std::move(lock);
  listener.fd_ = std::move(socket);
  listener.id_ = file;
  listener.name_ = path;
  return listener;
}

UnixListener UnixListener::bind_again(const UnixListener& old, std::optional<uid_t> owner) {
  UnixListener listener = prepare(old.path_, owner);
  if (old.lock_) {
    const std::optional<struct stat> now = try_lstat_path(old.path_ + ".lock");
    if (now && is_same_file(*now, stat_fd(old.lock_.get(), old.path_))) {
      listener.lock_ = Fd(::fcntl(old.lock_.get(), F_DUPFD_CLOEXEC, 0));
    } else {
      listener.lock_ = claim_path(old.path_);
    }
    remove_leftover(old.path_);
  }
  listener.publish();
  return listener;
}

bool UnixListener::is_reachable() const {
  struct stat st {};
  return ::lstat(path_.c_str(), &st) == 0 && file_id(st) == id_;
}

UnixListener::UnixListener(const std::string& path, SocketClaim claim, std::optional<uid_t> owner)
    : path_(path), name_(path) {
  check_socket_path(path);
  if (claim == SocketClaim::directory_is_ours) {
    UnixListener prepared = prepare(path, owner);
    prepared.publish();
    fd_ = std::move(prepared.fd_);
    id_ = prepared.id_;
    return;
  }
  lock_ = claim_path(path);
  remove_leftover(path);
  if (!owner) {
    listen_at(AT_FDCWD, path, owner);
    return;
  }
  const Fd parent = open_file(directory_of(path), O_RDONLY | O_DIRECTORY);
  const PrivateDirectory own(parent.get(), last_component(path));
  listen_at(own.fd(), PrivateDirectory::kSocket, owner);
  if (::renameat2(own.fd(), PrivateDirectory::kSocket, parent.get(), last_component(path).c_str(),
                  RENAME_NOREPLACE) != 0) {
    throw_errno("cannot listen on " + base::quoted(path));
  }
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      name_(std::exchange(other.name_, {})),
      lock_(std::move(other.lock_)),
      fd_(std::move(other.fd_)),
      id_(other.id_) {}

UnixListener::~UnixListener() {
  if (fd_) {
    unlink_own();
  }
}

void UnixListener::unlink_own() {
  struct stat st {};
  if (!name_.empty() && ::lstat(name_.c_str(), &st) == 0 && file_id(st) == id_) {
    ::unlink(name_.c_str());
  }
  name_.clear();
}

void UnixListener::stop() {
  static_cast<void>(::shutdown(fd_.get(), SHUT_RD));
  unlink_own();
}

std::optional<Fd> UnixListener::accept() const {
  for (;;) {
    Fd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      return fd;
    }
    if (errno == EAGAIN || errno == ECONNABORTED || errno == EINVAL) {  // EINVAL: after stop()
      return std::nullopt;
    }
    if (errno != EINTR) {
      throw_errno("cannot accept on " + base::quoted(path_));
    }
  }
}

}  // namespace base
