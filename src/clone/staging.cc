// SPDX-License-Identifier: Apache-2.0
// Builds files and directories under temporary names; publishes by link and rename.
#include "clone/staging.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/error.h"
#include "clone/attributes.h"
#include "clone/reflink.h"
#include "file/directory.h"
#include "file/remove_tree.h"

namespace cloning {
namespace {

// Exchanges the temporary and the present entry. XFS, btrfs, ext4 and tmpfs support this. No other
// method avoids a moment in which the name is absent.
void exchange(const Place& place, const char* what_to_do) {
  if (::renameat2(place.parent(), place.temporary().c_str(), place.parent(), place.name().c_str(),
                  RENAME_EXCHANGE) == 0) {
    return;
  }
  if (errno == EINVAL || errno == ENOSYS) {
    throw base::Unsupported("cannot replace " + base::quoted(place.path()) +
                            " in one step: its filesystem has no renameat2(RENAME_EXCHANGE); " +
                            what_to_do);
  }
  base::throw_errno("cannot replace " + base::quoted(place.path()));
}

constexpr const char* kRemoveFirst = "remove it yourself, then clone without --replace";
constexpr const char* kCopyByHand = "copy it and rename the copy while no process has it open";

}  // namespace

StagedFile::StagedFile(const Place& place, mode_t mode) : place_(place) {
  place.remove_leftover();
  fd_ = base::Fd(::openat(place.parent(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
  if (!fd_) {
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) {
      throw_with_advice(errno, "cannot create " + base::quoted(place.path()));
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
      place_.throw_busy();
    }
    throw_with_advice(errno, "cannot create " + base::quoted(place_.path()));
  }
  // Another run may have removed the new file as a leftover before it was locked.
  if (!place_.try_lock(fd_.get()) || !place_.still_named(fd_.get())) {
    place_.throw_busy();
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

// Returns false if the name already exists.
bool StagedFile::link_to(const std::string& name) const {
  if (file::link_descriptor(fd_.get(), place_.parent(), name) == 0) {
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
    place_.throw_exists();
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

// An unnamed file cannot replace an existing name, so it first gets the temporary name. It is
// locked, so that another run does not remove it as a leftover.
void StagedFile::take_temporary_name() {
  if (!named_) {
    if (!place_.try_lock(fd_.get()) || !link_to(place_.temporary())) {
      place_.throw_busy();
    }
    named_ = true;
  }
}

void StagedFile::replace(base::Durable durable) {
  sync(durable);
  take_temporary_name();
  if (::renameat(place_.parent(), place_.temporary().c_str(), place_.parent(),
                 place_.name().c_str()) == 0) {
    named_ = false;
  } else if (errno == EISDIR) {
    exchange(place_, kRemoveFirst);
    named_ = false;
    place_.remove_replaced();
  } else {
    base::throw_errno("cannot replace " + base::quoted(place_.path()));
  }
  if (durable == base::Durable::yes) {
    place_.sync_parent();
  }
}

void StagedFile::replace_if(const std::function<bool(const struct stat&)>& is_expected,
                            const std::string& why, base::Durable durable) {
  sync(durable);
  take_temporary_name();
  exchange(place_, kCopyByHand);
  struct stat old {};
  if (::fstatat(destination_.parent(), destination_.temporary().c_str(), &old,
                AT_SYMLINK_NOFOLLOW) != 0 ||
      !is_expected(old)) {
    exchange(place_, kCopyByHand);
    throw base::Refused("cannot replace " + base::quoted(place_.path()) + ": " + why);
  }
  named_ = false;
  place_.remove_replaced();
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
      throw_with_advice(errno, "cannot create " + base::quoted(place.path()));
    }
  }
  fd_ = base::Fd(::openat(place.parent(), place.temporary().c_str(),
                          O_RDONLY | O_DIRECTORY | file::kNoFollow));
  if (!fd_ && errno != ENOENT) {
    base::throw_errno("cannot open " + base::quoted(place.temporary()));
  }
  // Another run may have removed the new directory as a leftover before it was locked.
  if (!fd_ || !place.try_lock(fd_.get()) || !place.still_named(fd_.get())) {
    place.throw_busy();
  }
  remove_inherited_acls(fd_.get(), place.path());
}

StagedDirectory::~StagedDirectory() {
  if (!published_ && fd_) {
    try {
      file::remove_tree(place_.parent(), place_.temporary(), place_.temporary());
    } catch (const std::exception&) {
      // Another error is already being reported. The next run for this destination removes
      // it.
      return;
    }
  }
}

void StagedDirectory::publish(base::Durable durable) {
  if (durable == base::Durable::yes) {
    file::sync_tree(fd_.get(), place_.path());
  }
  if (!rename_to_free_name()) {
    place_.throw_exists();
  }
  published_ = true;
  if (durable == base::Durable::yes) {
    place_.sync_parent();
  }
}

void StagedDirectory::replace(base::Durable durable) {
  if (durable == base::Durable::yes) {
    file::sync_tree(fd_.get(), place_.path());
  }
  const bool was_free = rename_to_free_name();
  if (!was_free) {
    exchange(place_, kRemoveFirst);
  }
  published_ = true;
  if (durable == base::Durable::yes) {
    place_.sync_parent();
  }
  if (!was_free) {
    place_.remove_replaced();
  }
}

// Returns false if the name already exists.
bool StagedDirectory::rename_to_free_name() const {
  if (::renameat2(place_.parent(), place_.temporary().c_str(), place_.parent(),
                  place_.name().c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno == EEXIST) {
    return false;
  }
  if (errno == EINVAL || errno == ENOSYS) {
    throw base::Unsupported("cannot create " + base::quoted(place_.path()) +
                            ": its filesystem has no renameat2(RENAME_NOREPLACE), without which "
                            "the tree of another run might be lost; use another filesystem");
  }
  base::throw_errno("cannot give " + base::quoted(place_.path()) + " its name");
}

}  // namespace cloning
