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
void exchange(const Destination& destination, const char* what_to_do) {
  if (::renameat2(destination.parent(), destination.temporary().c_str(), destination.parent(),
                  destination.name().c_str(), RENAME_EXCHANGE) == 0) {
    return;
  }
  if (errno == EINVAL || errno == ENOSYS) {
    throw base::Unsupported("cannot replace " + base::quoted(destination.path()) +
                            " in one step: its filesystem has no renameat2(RENAME_EXCHANGE); " +
                            what_to_do);
  }
  base::throw_errno("cannot replace " + base::quoted(destination.path()));
}

constexpr const char* kRemoveFirst = "remove it yourself, then clone without --replace";
constexpr const char* kCopyByHand = "copy it and rename the copy while no process has it open";

}  // namespace

StagedFile::StagedFile(const Destination& destination, mode_t mode) : destination_(destination) {
  destination.remove_leftover();
  fd_ = base::Fd(::openat(destination.parent(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
  if (!fd_) {
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) {
      throw_with_advice(errno, "cannot create " + base::quoted(destination.path()));
    }
    create_named();
  }
  remove_inherited_acls(fd_.get(), destination.path());
}

void StagedFile::create_named() {
  fd_ = base::Fd(::openat(destination_.parent(), destination_.temporary().c_str(),
                          O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd_) {
    if (errno == EEXIST) {
      destination_.throw_busy();
    }
    throw_with_advice(errno, "cannot create " + base::quoted(destination_.path()));
  }
  // Another run may have removed the new file as a leftover before it was locked.
  if (!destination_.try_lock(fd_.get()) || !destination_.still_named(fd_.get())) {
    destination_.throw_busy();
  }
  named_ = true;
}

StagedFile::~StagedFile() {
  if (named_) {
    ::unlinkat(destination_.parent(), destination_.temporary().c_str(), 0);
  }
}

void StagedFile::sync(base::Durable durable) const {
  if (durable == base::Durable::yes) {
    base::sync_fd(fd_.get(), destination_.path());
  }
}

// Returns false if the name already exists.
bool StagedFile::link_to(const std::string& name) const {
  if (file::link_descriptor(fd_.get(), destination_.parent(), name) == 0) {
    return true;
  }
  if (errno == EEXIST) {
    return false;
  }
  throw_with_advice(errno, "cannot give " + base::quoted(destination_.path()) + " its name");
}

void StagedFile::publish(base::Durable durable) {
  sync(durable);
  if (!link_to(destination_.name())) {
    destination_.throw_exists();
  }
  if (named_) {
    if (::unlinkat(destination_.parent(), destination_.temporary().c_str(), 0) != 0) {
      base::throw_errno("cannot remove " + base::quoted(destination_.temporary()));
    }
    named_ = false;
  }
  if (durable == base::Durable::yes) {
    destination_.sync_parent();
  }
}

// An unnamed file cannot replace an existing name, so it first gets the temporary name. It is
// locked, so that another run does not remove it as a leftover.
void StagedFile::take_temporary_name() {
  if (!named_) {
    if (!destination_.try_lock(fd_.get()) || !link_to(destination_.temporary())) {
      destination_.throw_busy();
    }
    named_ = true;
  }
}

void StagedFile::replace(base::Durable durable) {
  sync(durable);
  take_temporary_name();
  if (::renameat(destination_.parent(), destination_.temporary().c_str(), destination_.parent(),
                 destination_.name().c_str()) == 0) {
    named_ = false;
  } else if (errno == EISDIR) {
    exchange(destination_, kRemoveFirst);
    named_ = false;
    destination_.remove_replaced();
  } else {
    base::throw_errno("cannot replace " + base::quoted(destination_.path()));
  }
  if (durable == base::Durable::yes) {
    destination_.sync_parent();
  }
}

void StagedFile::replace_if(const std::function<bool(const struct stat&)>& is_expected,
                            const std::string& why, base::Durable durable) {
  sync(durable);
  take_temporary_name();
  exchange(destination_, kCopyByHand);
  struct stat old {};
  if (::fstatat(destination_.parent(), destination_.temporary().c_str(), &old,
                AT_SYMLINK_NOFOLLOW) != 0 ||
      !is_expected(old)) {
    exchange(destination_, kCopyByHand);
    throw base::Refused("cannot replace " + base::quoted(destination_.path()) + ": " + why);
  }
  named_ = false;
  destination_.remove_replaced();
  if (durable == base::Durable::yes) {
    destination_.sync_parent();
  }
}

StagedDirectory::StagedDirectory(const Destination& destination) : destination_(destination) {
  for (int attempt = 0;; ++attempt) {
    destination.remove_leftover();
    if (::mkdirat(destination.parent(), destination.temporary().c_str(), S_IRWXU) == 0) {
      break;
    }
    if (errno != EEXIST || attempt == kAttempts) {
      throw_with_advice(errno, "cannot create " + base::quoted(destination.path()));
    }
  }
  fd_ = base::Fd(::openat(destination.parent(), destination.temporary().c_str(),
                          O_RDONLY | O_DIRECTORY | file::kNoFollow));
  if (!fd_ && errno != ENOENT) {
    base::throw_errno("cannot open " + base::quoted(destination.temporary()));
  }
  // Another run may have removed the new directory as a leftover before it was locked.
  if (!fd_ || !destination.try_lock(fd_.get()) || !destination.still_named(fd_.get())) {
    destination.throw_busy();
  }
  remove_inherited_acls(fd_.get(), destination.path());
}

StagedDirectory::~StagedDirectory() {
  if (!published_ && fd_) {
    try {
      file::remove_tree(destination_.parent(), destination_.temporary(), destination_.temporary());
    } catch (const std::exception&) {
      // Another error is already being reported. The next run for this destination removes
      // it.
      return;
    }
  }
}

void StagedDirectory::publish(base::Durable durable) {
  if (durable == base::Durable::yes) {
    file::sync_tree(fd_.get(), destination_.path());
  }
  if (!rename_to_free_name()) {
    destination_.throw_exists();
  }
  published_ = true;
  if (durable == base::Durable::yes) {
    destination_.sync_parent();
  }
}

void StagedDirectory::replace(base::Durable durable) {
  if (durable == base::Durable::yes) {
    file::sync_tree(fd_.get(), destination_.path());
  }
  const bool was_free = rename_to_free_name();
  if (!was_free) {
    exchange(destination_, kRemoveFirst);
  }
  published_ = true;
  if (durable == base::Durable::yes) {
    destination_.sync_parent();
  }
  if (!was_free) {
    destination_.remove_replaced();
  }
}

// Returns false if the name already exists.
bool StagedDirectory::rename_to_free_name() const {
  if (::renameat2(destination_.parent(), destination_.temporary().c_str(), destination_.parent(),
                  destination_.name().c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno == EEXIST) {
    return false;
  }
  if (errno == EINVAL || errno == ENOSYS) {
    throw base::Unsupported("cannot create " + base::quoted(destination_.path()) +
                            ": its filesystem has no renameat2(RENAME_NOREPLACE), without which "
                            "the tree of another run might be lost; use another filesystem");
  }
  base::throw_errno("cannot give " + base::quoted(destination_.path()) + " its name");
}

}  // namespace cloning
