// SPDX-License-Identifier: Apache-2.0
// Replaces a file by a rename of a locked temporary file.
#include "base/atomic_file.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/hex.h"
#include "base/open_files.h"

namespace base {

namespace {

// How long to wait for another writer of the same file, which holds its temporary for milliseconds.
constexpr std::chrono::seconds kWriterTimeout{10};

// Opens the temporary file of one writer, locked (flock) as long as it has its name. Two writers of
// one file take turns. A leftover of a killed writer has no lock and is removed, because it may
// have other links or another owner.
Fd make_temporary(const std::string& temporary, mode_t mode) {
  const Deadline deadline = Deadline::after(kWriterTimeout);
  const auto is_named = [&](const Fd& fd) {
    struct stat named {};
    struct stat ours {};
    return ::lstat(temporary.c_str(), &named) == 0 && ::fstat(fd.get(), &ours) == 0 &&
           is_same_file(named, ours);
  };
  const auto is_busy = [](const Fd& fd) {
    return ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  };
  for (;;) {
    Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (fd && !is_busy(fd) && is_named(fd)) {
      return fd;
    }
    if (!fd && errno != EEXIST) {
      throw_errno("cannot create " + base::quoted(temporary));
    }
    const Fd other(::open(temporary.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!other && errno == ENOENT) {
      continue;  // the other writer has renamed or removed it
    }
    if (other && is_busy(other)) {
      if (deadline.passed()) {
        throw Refused("cannot write " + base::quoted(temporary) +
                      ": another process has been writing it for 10 s; wait for it to end");
      }
      ::poll(nullptr, 0, 1);
    } else if ((!other || is_named(other)) && ::unlink(temporary.c_str()) != 0 && errno != ENOENT) {
      throw_errno("cannot remove " + base::quoted(temporary));
    }
  }
}

// Copies the extended attributes of `from` that the caller may set to `to`.
void copy_attributes(int from, int to) {
  if (::flistxattr(from, nullptr, 0) == 0) {
    return;  // the usual case, which needs no large buffers
  }
  std::vector<char> names(XATTR_LIST_MAX);
  const ssize_t length = ::flistxattr(from, names.data(), names.size());
  std::vector<char> value(XATTR_SIZE_MAX);
  for (ssize_t at = 0; at < length;) {
    const char* name = names.data() + at;
    const ssize_t size = ::fgetxattr(from, name, value.data(), value.size());
    if (size >= 0) {
      static_cast<void>(::fsetxattr(to, name, value.data(), static_cast<size_t>(size), 0));
    }
    at += static_cast<ssize_t>(std::strlen(name)) + 1;
  }
}

// rename(2) that never replaces a file. Returns false if `to` exists.
bool rename_to_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  // On a filesystem without that flag, a link does not replace a file either.
  if ((errno == EINVAL || errno == ENOSYS) && ::link(from.c_str(), to.c_str()) == 0) {
    ::unlink(from.c_str());
    return true;
  }
  if (errno != EEXIST) {
    throw_errno("cannot create " + base::quoted(to));
  }
  return false;
}

// Returns false if `path` exists and must not be replaced. The file gets the attributes of `like`
// if that is open, else `mode`.
using Fill = std::function<void(int fd, const std::string& name)>;
bool write_whole(const std::string& path, const Fill& fill, mode_t mode, Durable durable,
                 bool replaces, const Fd& like) {
  const size_t slash = path.find_last_of('/');
  const size_t name_at = slash == std::string::npos ? 0 : slash + 1;
  const std::string temporary =
      path.substr(0, name_at) + temporary_name(std::string_view(path).substr(name_at));
  const Fd fd = make_temporary(temporary, mode);
  bool done = true;
  try {
    fill(fd.get(), temporary);
    struct stat old {};
    if (like && ::fstat(like.get(), &old) == 0) {
      // A caller without the privilege to change the owner becomes the owner, as for any file
      // that it replaces.
      static_cast<void>(::fchown(fd.get(), old.st_uid, old.st_gid));
      copy_attributes(like.get(), fd.get());
      mode = old.st_mode & 07777U;
    }
    if (::fchmod(fd.get(), mode) != 0) {  // independent of the umask
      throw_errno("cannot change the mode of " + base::quoted(temporary));
    }
    if (durable != Durable::no) {
      sync_fd(fd.get(), temporary);
    }
    // The lock ends with the descriptor, so the file stays open until it has its name.
    if (!replaces) {
      done = rename_to_new(temporary, path);
    } else if (::rename(temporary.c_str(), path.c_str()) != 0) {
      throw_errno("cannot replace " + base::quoted(path));
    }
    if (!done) {
      ::unlink(temporary.c_str());
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  if (durable == Durable::yes) {
    sync_parent_dir(path);
  }
  return done;
}

// The string must outlive the result.
Fill writing(std::string_view content) {
  return [content](int fd, const std::string& name) { write_full(fd, content, name); };
}

}  // namespace

void write_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                       Durable durable) {
  static_cast<void>(write_whole(path, writing(content), mode, durable, true, Fd()));
}

void write_file_atomic(const std::string& path, const Fill& fill, mode_t mode, Durable durable) {
  static_cast<void>(write_whole(path, fill, mode, durable, true, Fd()));
}

void update_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                        Durable durable) {
  // If the old file does not exist or is not readable, a new one is created.
  const Fd old(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  static_cast<void>(write_whole(path, writing(content), mode, durable, true, old));
}

void write_file_like(const std::string& path, std::string_view content, const std::string& like,
                     Durable durable) {
  const Fd model = open_file(like, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  static_cast<void>(write_whole(path, writing(content), 0600, durable, true, model));
}

bool create_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                        Durable durable) {
  return write_whole(path, writing(content), mode, durable, false, Fd());
}

void require_writable_name(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  // With a trailing slash, access(2) reports ENOTDIR if the directory is a file.
  if (::access(directory.c_str(), W_OK | X_OK) != 0) {
    throw_errno("cannot write " + base::quoted(path) + ": directory " + base::quoted(directory));
  }
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno != ENOENT) {
      throw_errno("cannot write " + base::quoted(path));
    }
  } else if (S_ISDIR(st.st_mode)) {
    errno = EISDIR;
    throw_errno("cannot write " + base::quoted(path));
  }
}

std::string temporary_name(std::string_view name) {
  const size_t room = NAME_MAX - 1 - kTemporarySuffix.size();
  std::string middle(name);
  if (name.size() > room) {
    // The beginning of the name, for a person to recognize, and FNV-1a of the whole name, to
    // distinguish two such names.
    uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : name) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    constexpr unsigned kHexDigits = 16;
    middle.resize(room - kHexDigits);
    middle += hex_text(hash, kHexDigits);
  }
  return "." + middle + std::string(kTemporarySuffix);
}

bool is_temporary_name(std::string_view name) {
  return name.starts_with('.') && name.ends_with(kTemporarySuffix);
}

}  // namespace base
