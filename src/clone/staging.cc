#include "clone/staging.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "clone/attributes.h"
#include "clone/directory.h"
#include "clone/reflink.h"

namespace cloning {
namespace {

// Who loses a name to another process this often has a live competitor, not a leftover.
constexpr int kAttempts = 16;

bool same_inode(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

[[noreturn]] void throw_busy(const Place& place) {
  throw base::Refused("cannot make " + base::quoted(place.path()) +
                      ": another run is making it; wait for that one");
}

[[noreturn]] void throw_exists(const Place& place) {
  throw base::Refused("cannot make " + base::quoted(place.path()) + ": it already exists");
}

// Takes the temporary's lock for as long as `fd` is open. False when another process has it.
bool try_lock(int fd, const Place& place) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
    return true;
  }
  if (errno == EWOULDBLOCK) {
    return false;
  }
  base::throw_errno("cannot lock " + base::quoted(place.temporary()));
}

// Whether the temporary name still stands for what `fd` is open on. Asked after locking: between
// the two its owner may have published or removed it.
bool still_named(int fd, const Place& place) {
  struct stat open {};
  struct stat named {};
  return ::fstat(fd, &open) == 0 &&
         ::fstatat(place.parent(), place.temporary().c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         same_inode(open, named);
}

}  // namespace

Place::Place(const std::string& path) : path_(path) {
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

void Place::require_free() const {
  struct stat st {};
  if (::fstatat(parent(), name_.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    throw_exists(*this);
  }
  if (errno != ENOENT) {
    base::throw_errno("cannot make " + base::quoted(path_));
  }
}

bool Place::is_inside(int dir) const {
  struct stat wanted {};
  struct stat here {};
  if (::fstat(dir, &wanted) != 0 || ::fstat(parent(), &here) != 0) {
    base::throw_errno("cannot stat " + base::quoted(path_));
  }
  base::Fd climber = base::open_at(parent(), ".", O_PATH | O_DIRECTORY);
  for (;;) {
    if (same_inode(here, wanted)) {
      return true;
    }
    const struct stat below = here;
    base::Fd above(::openat(climber.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!above && errno == EACCES) {
      return false;  // no walk that starts further up could come through here either
    }
    climber = std::move(above);
    if (::fstat(climber.get(), &here) != 0) {
      base::throw_errno("cannot stat the directories above " + base::quoted(path_));
    }
    if (same_inode(here, below)) {
      return false;  // the root directory is its own parent
    }
  }
}

void Place::remove_leftover() const {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    struct stat st {};
    if (::fstatat(parent(), temporary_.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) {
        return;
      }
      base::throw_errno("cannot stat " + base::quoted(temporary_));
    }
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
      const base::Fd leftover(::openat(parent(), temporary_.c_str(), O_RDONLY | kNoFollow));
      if (!leftover) {
        if (errno == ENOENT) {
          continue;
        }
        base::throw_errno("cannot open the leftover " + base::quoted(temporary_));
      }
      if (!try_lock(leftover.get(), *this)) {
        throw_busy(*this);
      }
      if (!still_named(leftover.get(), *this)) {
        continue;
      }
      remove_tree(parent(), temporary_);  // while the lock is held
      return;
    }
    remove_tree(parent(), temporary_);  // no file of ours, but our name
  }
  throw_busy(*this);
}

void Place::sync_parent() const {
  const base::Fd dir = base::open_at(parent(), ".", O_RDONLY | O_DIRECTORY);
  base::sync_fd(dir.get(), "the directory of " + path_);
}

StagedFile::StagedFile(const Place& place) : place_(place) {
  place.remove_leftover();
  fd_ = base::Fd(::openat(place.parent(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd_) {
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) {
      throw_with_advice(errno, "cannot make " + base::quoted(place.path()));
    }
    create_named();
  }
  remove_inherited_acls(fd_.get(), place.path());
}

void StagedFile::create_named() {
  fd_ = base::Fd(::openat(place_.parent(), place_.temporary().c_str(),
                          O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd_) {
    if (errno == EEXIST) {
      throw_busy(place_);
    }
    throw_with_advice(errno, "cannot make " + base::quoted(place_.path()));
  }
  // Another run may have taken the new file for a leftover before it was locked.
  if (!try_lock(fd_.get(), place_) || !still_named(fd_.get(), place_)) {
    throw_busy(place_);
  }
  named_ = true;
}

StagedFile::~StagedFile() {
  if (named_) {
    ::unlinkat(place_.parent(), place_.temporary().c_str(), 0);
  }
}

void StagedFile::sync(base::Durable durable) const {
  if (durable == base::Durable::yes) {
    base::sync_fd(fd_.get(), place_.path());
  }
}

// False when the name is taken. The way over /proc needs no privilege, unlike AT_EMPTY_PATH.
bool StagedFile::link_to(const std::string& name) const {
  const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
  if (::linkat(AT_FDCWD, self.c_str(), place_.parent(), name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return true;
  }
  if (errno == EEXIST) {
    return false;
  }
  throw_with_advice(errno, "cannot give " + base::quoted(place_.path()) + " its name");
}

void StagedFile::publish(base::Durable durable) {
  sync(durable);
  if (!link_to(place_.name())) {
    throw_exists(place_);
  }
  if (named_) {
    if (::unlinkat(place_.parent(), place_.temporary().c_str(), 0) != 0) {
      base::throw_errno("cannot remove " + base::quoted(place_.temporary()));
    }
    named_ = false;
  }
  if (durable == base::Durable::yes) {
    place_.sync_parent();
  }
}

void StagedFile::replace(base::Durable durable) {
  sync(durable);
  if (!named_) {
    // An unnamed file cannot take a name that is in use, so it gets the temporary one in between,
    // locked, lest another run takes it for a leftover.
    if (!try_lock(fd_.get(), place_) || !link_to(place_.temporary())) {
      throw_busy(place_);
    }
    named_ = true;
  }
  if (::renameat(place_.parent(), place_.temporary().c_str(), place_.parent(),
                 place_.name().c_str()) != 0) {
    base::throw_errno("cannot replace " + base::quoted(place_.path()));
  }
  named_ = false;
  if (durable == base::Durable::yes) {
    place_.sync_parent();
  }
}

StagedDirectory::StagedDirectory(const Place& place) : place_(place) {
  for (int attempt = 0;; ++attempt) {
    place.remove_leftover();
    if (::mkdirat(place.parent(), place.temporary().c_str(), S_IRWXU) == 0) {
      break;
    }
    if (errno != EEXIST || attempt == kAttempts) {
      throw_with_advice(errno, "cannot make " + base::quoted(place.path()));
    }
  }
  fd_ = base::Fd(
      ::openat(place.parent(), place.temporary().c_str(), O_RDONLY | O_DIRECTORY | kNoFollow));
  if (!fd_ && errno != ENOENT) {
    base::throw_errno("cannot open " + base::quoted(place.temporary()));
  }
  // Another run may have taken the new directory for a leftover before it was locked.
  if (!fd_ || !try_lock(fd_.get(), place) || !still_named(fd_.get(), place)) {
    throw_busy(place);
  }
  remove_inherited_acls(fd_.get(), place.path());
}

StagedDirectory::~StagedDirectory() {
  if (!published_ && fd_) {
    try {
      remove_tree(place_.parent(), place_.temporary());
    } catch (const std::exception&) {
      // Already failing for another reason. The next run for this destination tries again.
      return;
    }
  }
}

void StagedDirectory::publish(base::Durable durable) {
  if (durable == base::Durable::yes) {
    sync_tree(fd_.get(), place_.path());
  }
  if (::renameat2(place_.parent(), place_.temporary().c_str(), place_.parent(),
                  place_.name().c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) {
      throw_exists(place_);
    }
    if (errno == EINVAL || errno == ENOSYS) {
      throw base::Unsupported("cannot make " + base::quoted(place_.path()) +
                              ": its filesystem has no renameat2(RENAME_NOREPLACE)");
    }
    base::throw_errno("cannot give " + base::quoted(place_.path()) + " its name");
  }
  published_ = true;
  if (durable == base::Durable::yes) {
    place_.sync_parent();
  }
}

}  // namespace cloning
