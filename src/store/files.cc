// SPDX-License-Identifier: Apache-2.0
// Steps on files and directories of the store that several flows use.
#include "store/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "file/cross_device.h"
#include "file/directory.h"
#include "file/remove_tree.h"
#include "store/id_lock_holders.h"
#include "store/inherited_locks.h"

namespace store {
namespace {

constexpr std::chrono::seconds kLockTimeout{10};

std::string parent_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}
std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::vector<std::string> names_in(const base::Fd& dir, const std::string& path) {
  std::vector<std::string> names;
  for (file::Entry& entry : file::list_directory(dir.get(), path)) {
    names.push_back(std::move(entry.name));
  }
  return names;
}

}  // namespace

void remove_tree(const Store& store, const std::string& path) {
  if (const auto parent = store.try_open_below(parent_of(path), O_RDONLY | O_DIRECTORY)) {
    file::remove_tree(parent->get(), name_of(path), path);
  }
}

void sync_dir(const std::string& path) {
  const base::Fd fd = base::open_file(path, O_RDONLY | O_DIRECTORY);
  base::sync_fd(fd.get(), path);
}

void sync_file(const std::string& path) {
  const base::Fd fd = base::open_file(path, O_RDONLY | O_NOFOLLOW);
  base::sync_fd(fd.get(), path);
}

bool rename_new(const Store& store, const std::string& from, const std::string& to) {
  const base::Fd old_dir = store.open_below(parent_of(from), O_PATH | O_DIRECTORY);
  const base::Fd new_dir = store.open_below(parent_of(to), O_PATH | O_DIRECTORY);
  if (::renameat2(old_dir.get(), name_of(from).c_str(), new_dir.get(), name_of(to).c_str(),
                  RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno == EEXIST) {
    return false;
  }
  const std::string what = "cannot rename " + base::quoted(from) + " to " + base::quoted(to);
  if (errno == EXDEV) {
    throw base::Unsupported(what + ": " +
                            file::cross_device_reason(from, to.substr(0, to.rfind('/'))) +
                            "; make them plain directories of one mount");
  }
  if (errno == EINVAL || errno == ENOSYS) {
    throw base::Unsupported(what + ": this filesystem has no RENAME_NOREPLACE");
  }
  base::throw_errno(what);
}

std::string path_in(const std::string& dir, const std::string& name) {
  return dir + "/" + name;
}

bool path_exists(const std::string& path) {
  return base::try_lstat_path(path).has_value();
}

std::optional<std::vector<std::string>> list_names(const std::string& path) {
  const base::Fd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) {
    if (errno == ENOENT) {
      return std::nullopt;
    }
    base::throw_errno("cannot open " + base::quoted(path));
  }
  return names_in(dir, path);
}

std::optional<std::vector<std::string>> list_names(const Store& store, const std::string& path) {
  const std::optional<base::Fd> dir = store.try_open_below(path, O_RDONLY | O_DIRECTORY);
  return dir ? std::optional(names_in(*dir, path)) : std::nullopt;
}

std::vector<std::string> list_ids(const Store& store, const std::string& path) {
  std::vector<std::string> names = list_names(store, path).value_or(std::vector<std::string>());
  std::erase_if(names, [](const std::string& name) { return !is_valid_id(name); });
  return names;
}

std::string absolute_path(const std::string& path) {
  return path.starts_with('/') ? path : std::filesystem::absolute(path).lexically_normal().string();
}

Store open_store() {
  Store store(absolute_path(Store::from_environment().root()));
  store.require_root();
  return store;
}

namespace {

// Only a caller that takes no further lock may lock the directory.
WhenFull when_full(const std::vector<GuestLocks::Wanted>& wanted) {
  return wanted.size() == 1 ? WhenFull::lock_directory : WhenFull::fail;
}

}  // namespace

GuestLocks::GuestLocks(const Store& store, std::vector<Wanted> wanted) {
  std::ranges::sort(wanted, {}, &Wanted::id);
  const base::Deadline deadline = base::Deadline::after(kLockTimeout);
  for (const Wanted& lock : wanted) {
    locks_.push_back(require_lock(store, lock.id, lock.mode, deadline, when_full(wanted)));
  }
}

GuestLocks::GuestLocks(const Store& store, const std::string& id)
    : GuestLocks(store, {Wanted{.id = id, .mode = LockMode::exclusive}}) {}

std::optional<GuestLocks> GuestLocks::try_take(const Store& store,
                                               const std::vector<Wanted>& wanted) {
  GuestLocks locks;
  for (const Wanted& lock : wanted) {
    if (const std::optional<LockMode> inherited = inherited_lock(store, lock.id)) {
      if (*inherited == LockMode::shared && lock.mode == LockMode::exclusive) {
        return std::nullopt;
      }
      continue;
    }
    locks.locks_.push_back(IdLock::acquire(store, lock.id, lock.mode,
                                           base::Deadline::after(std::chrono::milliseconds(0)),
                                           when_full(wanted)));
    if (!locks.locks_.back()) {
      return std::nullopt;
    }
  }
  return locks;
}

bool is_free(const Store& store, const std::string& id) {
  const std::optional<LockMode> inherited = inherited_lock(store, id);
  return inherited
             ? *inherited == LockMode::exclusive
             : wait_until_free(store, id, base::Deadline::after(std::chrono::milliseconds(0)));
}

void require_free(const Store& store, const std::string& id) {
  if (!is_free(store, id)) {
    throw base::Refused("cannot lock " + base::quoted(id) + ": " + describe_conflict(store, id) +
                        "; wait for it to end");
  }
}

}  // namespace store
