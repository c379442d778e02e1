// SPDX-License-Identifier: Apache-2.0
// Opens the parent of a destination; locks and removes temporary names.
#include "clone/destination.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <exception>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "file/directory.h"
#include "file/remove_tree.h"

namespace cloning {
namespace {}  // namespace

Destination::Destination(const std::string& path) : path_(path) {
  while (path_.size() > 1 && path_.ends_with('/')) {
    path_.pop_back();
  }
  const size_t slash = path_.find_last_of('/');
  name_ = slash == std::string::npos ? path_ : path_.substr(slash + 1);
  if (name_.empty() || name_ == "." || name_ == "..") {
    throw base::UsageError("bad destination " + base::quoted(path) + ": it names no new file");
  }
  temporary_ = base::temporary_name(name_);
  const std::string parent = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path_.substr(0, slash);
  parent_ = base::open_file(parent, O_PATH | O_DIRECTORY);
}

Destination::Destination(int parent, std::string name, std::string path)
    : path_(std::move(path)),
      name_(std::move(name)),
      temporary_(base::temporary_name(name_)),
      parent_(base::open_at(parent, ".", O_PATH | O_DIRECTORY)) {}

bool Destination::is_taken() const {
  struct stat st {};
  if (::fstatat(parent(), name_.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    return true;
  }
  if (errno != ENOENT) {
    base::throw_errno("cannot create " + base::quoted(path_));
  }
  return false;
}

void Destination::require_free() const {
  if (is_taken()) {
    throw_exists();
  }
}

bool Destination::is_inside(int dir) const {
  const struct stat wanted = base::stat_fd(dir, path_);
  struct stat here = base::stat_fd(parent(), path_);
  base::Fd climber = base::open_at(parent(), ".", O_PATH | O_DIRECTORY);
  for (;;) {
    if (base::is_same_file(here, wanted)) {
      return true;
    }
    const struct stat below = here;
    base::Fd above(::openat(climber.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!above && errno == EACCES) {
      return false;  // a walk that starts higher cannot get through here either
    }
    climber = std::move(above);
    here = base::stat_fd(climber.get(), path_ + "/..");
    if (base::is_same_file(here, below)) {
      return false;  // the root directory is its own parent
    }
  }
}

void Destination::remove_leftover() const {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::optional<struct stat> st = base::try_lstat_at(parent(), temporary_, temporary_);
    if (!st) {
      return;
    }
    if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) {
      const base::Fd leftover(::openat(parent(), temporary_.c_str(), O_RDONLY | file::kNoFollow));
      if (!leftover) {
        if (errno == ENOENT) {
          continue;
        }
        base::throw_errno("cannot open the leftover " + base::quoted(temporary_));
      }
      if (!try_lock(leftover.get())) {
        throw_busy();
      }
      if (!still_named(leftover.get())) {
        continue;
      }
      file::remove_tree(parent(), temporary_, temporary_);  // the lock is still held
      return;
    }
    file::remove_tree(parent(), temporary_, temporary_);  // not our file, but our name
  }
  throw_busy();
}

void Destination::remove_replaced() const {
  try {
    remove_leftover();
  } catch (const std::exception& error) {
    base::say_warning(base::quoted(path_) + " is in place, but the replaced file is left as " +
                      base::quoted(temporary_) + ": " + error.what());
  }
}

void Destination::sync_parent() const {
  const base::Fd dir = base::open_at(parent(), ".", O_RDONLY | O_DIRECTORY);
  base::sync_fd(dir.get(), "the directory of " + path_);
}

bool Destination::try_lock(int fd) const {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
    return true;
  }
  if (errno == EWOULDBLOCK) {
    return false;
  }
  base::throw_errno("cannot lock " + base::quoted(temporary_));
}

bool Destination::still_named(int fd) const {
  struct stat open {};
  struct stat named {};
  return ::fstat(fd, &open) == 0 &&
         ::fstatat(parent(), temporary_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         base::is_same_file(open, named);
}

void Destination::throw_busy() const {
  throw base::Refused("cannot create " + base::quoted(path_) +
                      ": another reflink-clone is already creating it; wait for it to end");
}

void Destination::throw_exists() const {
  throw base::Refused("cannot create " + base::quoted(path_) +
                      ": it already exists; remove it, or --replace it");
}

}  // namespace cloning
