// SPDX-License-Identifier: Apache-2.0
// Opens, reads, writes and flushes descriptors.
#include "base/fd.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/file_status.h"

namespace base {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Fd::release() {
  return std::exchange(fd_, -1);
}

void Fd::reset() {
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

void Fd::close_checked(std::string_view name) {
  // Linux frees the number whatever close() returns, so a second close would be wrong.
  if (::close(release()) != 0 && errno != EINTR) {
    throw_errno("cannot close " + base::quoted(name));
  }
}

Fd open_file(const std::string& path, int flags, mode_t mode) {
  return open_at(AT_FDCWD, path, flags, mode);
}

Fd open_at(int dir_fd, const std::string& name, int flags, mode_t mode) {
  Fd fd(::openat(dir_fd, name.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) {
    throw_errno("cannot open " + base::quoted(name));
  }
  return fd;
}

std::optional<Fd> try_open(const std::string& path, int flags) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return std::nullopt;
    }
    throw_errno("cannot open " + base::quoted(path));
  }
  return fd;
}

size_t pread_full(int fd, std::span<std::byte> buffer, off_t offset, std::string_view name) {
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n =
        ::pread(fd, buffer.data() + done, buffer.size() - done, offset + static_cast<off_t>(done));
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw_errno("cannot read " + base::quoted(name));
    }
    if (n == 0) {
      break;
    }
    done += static_cast<size_t>(n);
  }
  return done;
}

void write_full(int fd, std::string_view data, std::string_view name) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw_errno("cannot write " + base::quoted(name));
    }
    data.remove_prefix(static_cast<size_t>(n));
  }
}

void pwrite_full(int fd, std::span<const std::byte> data, off_t offset, std::string_view name) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), offset);
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw_errno("cannot write " + base::quoted(name));
    }
    data = data.subspan(static_cast<size_t>(n));
    offset += n;
  }
}

std::string read_file(const std::string& path, size_t limit) {
  // O_NONBLOCK: opening a FIFO without a writer must not block; read_regular refuses it.
  return read_regular(open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY).get(), limit, path);
}

std::string read_regular(int fd, size_t limit, std::string_view name) {
  const struct stat st = stat_fd(fd, name);
  if (!S_ISREG(st.st_mode)) {
    throw BadData("cannot read " + base::quoted(name) + ": it is not a regular file");
  }
  return read_all(fd, limit, name);
}

std::string read_all(int fd, size_t limit, std::string_view name) {
  constexpr size_t kPiece = 64 << 10;
  struct stat st {};
  std::string data;
  if (::fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
    data.reserve(std::min(limit, static_cast<size_t>(st.st_size)) + 1);
  }
  for (;;) {
    const size_t old_size = data.size();
    data.resize(std::max(data.capacity(), old_size + kPiece));
    const ssize_t n = ::read(fd, data.data() + old_size, data.size() - old_size);
    if (n < 0 && errno != EINTR) {
      throw_errno("cannot read " + base::quoted(name));
    }
    data.resize(old_size + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (data.size() > limit) {
      throw BadData("cannot read " + base::quoted(name) + ": longer than " + std::to_string(limit) +
                    " bytes");
    }
    if (n == 0) {
      return data;
    }
  }
}

void sync_fd(int fd, std::string_view name) {
  if (::fsync(fd) != 0) {
    throw_errno("cannot flush " + base::quoted(name));
  }
}

void sync_parent_dir(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string dir = slash == std::string::npos ? "."
                          : slash == 0               ? "/"
                                                     : path.substr(0, slash);
  const Fd fd = open_file(dir, O_RDONLY | O_DIRECTORY);
  sync_fd(fd.get(), dir);
}

void ensure_standard_fds() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
      // open(2) returns the lowest free number, which is `fd`. It stays open across exec on
      // purpose: it replaces a standard stream. A failure changes nothing, and there is no
      // stream to report it on.
      static_cast<void>(::open(
          "/dev/null",
          fd == 0 ? O_RDONLY
                  : O_WRONLY));  // NOLINT(android-cloexec-open): a standard stream is inherited
    }
  }
}

}  // namespace base
