// SPDX-License-Identifier: Apache-2.0
// An owned file descriptor, and whole reads and writes on descriptors.
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace base {

// Owns one descriptor and closes it once. A raw `int fd` parameter is always borrowed.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  // Gives up ownership and returns the descriptor.
  int release();
  // Closes now and ignores the result: for descriptors whose close cannot lose data.
  void reset();
  // Closes, and throws std::system_error if the kernel reports a late write error. `name` is the
  // name of the file in the message.
  void close_checked(std::string_view name);

 private:
  int fd_ = -1;
};

// Opens with O_CLOEXEC added. Throws std::system_error "cannot open 'path'".
Fd open_file(const std::string& path, int flags, mode_t mode = 0);
// The same relative to a directory; `name` may hold several components.
Fd open_at(int dir_fd, const std::string& name, int flags, mode_t mode = 0);
// Returns nothing if the file does not exist (ENOENT or ENOTDIR); throws on every other failure.
std::optional<Fd> try_open(const std::string& path, int flags);

// Reads up to `buffer.size()` bytes at `offset`; continues after short reads and EINTR. Returns the
// number of bytes read, which is smaller only at the end of the file. Throws "cannot read 'name'".
size_t pread_full(int fd, std::span<std::byte> buffer, off_t offset, std::string_view name);
// Writes everything; continues after short writes and EINTR. Throws "cannot write 'name'".
void write_full(int fd, std::string_view data, std::string_view name);
void pwrite_full(int fd, std::span<const std::byte> data, off_t offset, std::string_view name);

// Returns the contents of a file of at most `limit` bytes. Throws BadData for a longer file, a
// directory or a device; std::system_error if it cannot be opened or read.
std::string read_file(const std::string& path, size_t limit);
// The same for an open file. The caller opens it with O_NONBLOCK, because opening a FIFO blocks
// without it.
std::string read_regular(int fd, size_t limit, std::string_view name);
// Reads a descriptor of any kind, from its current position to the end.
std::string read_all(int fd, size_t limit, std::string_view name);

// fsync(2) of a descriptor, or of the directory that holds `path`. Throws std::system_error.
void sync_fd(int fd, std::string_view name);
void sync_parent_dir(const std::string& path);

// Opens /dev/null on each of 0, 1 and 2 that is closed, so that no later file gets that number.
void ensure_standard_fds();

}  // namespace base
