#include "meta/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/cross_device.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/id_lock_holders.h"

namespace meta {
namespace {

constexpr std::chrono::seconds kLockPatience{10};

}  // namespace

void remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) {
    base::throw_error_number(error.value(), "cannot remove " + base::quoted(path));
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

bool rename_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno == EEXIST) {
    return false;
  }
  const std::string what = "cannot rename " + base::quoted(from) + " to " + base::quoted(to);
  if (errno == EXDEV) {
    throw base::Unsupported(what + ": " +
                            base::cross_device_reason(from, to.substr(0, to.rfind('/'))) +
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
  struct stat st {};
  if (::lstat(path.c_str(), &st) == 0) {
    return true;
  }
  if (errno != ENOENT) {
    base::throw_errno("cannot look at " + base::quoted(path));
  }
  return false;
}

std::optional<std::vector<std::string>> list_names(const std::string& path) {
  const auto close_dir = [](DIR* dir) { ::closedir(dir); };
  const std::unique_ptr<DIR, decltype(close_dir)> dir(::opendir(path.c_str()), close_dir);
  if (dir == nullptr) {
    if (errno == ENOENT) {
      return std::nullopt;
    }
    base::throw_errno("cannot open " + base::quoted(path));
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;  // readdir(3): the only way to tell an error from the end
    const struct dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) {
      if (errno != 0) {
        base::throw_errno("cannot read " + base::quoted(path));
      }
      break;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> list_ids(const std::string& path) {
  std::vector<std::string> names = list_names(path).value_or(std::vector<std::string>());
  std::erase_if(names, [](const std::string& name) { return !base::is_valid_id(name); });
  return names;
}

std::string absolute_path(const std::string& path) {
  return path.starts_with('/') ? path : std::filesystem::absolute(path).lexically_normal().string();
}

base::Store open_store() {
  base::Store store(absolute_path(base::Store::from_environment().root()));
  store.require_root();
  return store;
}

GuestLocks::GuestLocks(const base::Store& store, std::vector<Wanted> wanted) {
  std::ranges::sort(wanted, {}, &Wanted::id);
  const base::Deadline deadline = base::Deadline::after(kLockPatience);
  for (const Wanted& lock : wanted) {
    locks_.push_back(base::require_lock(store, lock.id, lock.mode, deadline));
  }
}

GuestLocks::GuestLocks(const base::Store& store, const std::string& id)
    : GuestLocks(store, {Wanted{.id = id, .mode = base::LockMode::exclusive}}) {}

std::optional<GuestLocks> GuestLocks::try_take(const base::Store& store,
                                               const std::vector<Wanted>& wanted) {
  GuestLocks locks;
  for (const Wanted& lock : wanted) {
    if (const std::optional<base::LockMode> inherited = base::inherited_lock(store, lock.id)) {
      if (*inherited == base::LockMode::shared && lock.mode == base::LockMode::exclusive) {
        return std::nullopt;
      }
      continue;
    }
    locks.locks_.push_back(base::IdLock::acquire(
        store, lock.id, lock.mode, base::Deadline::after(std::chrono::milliseconds(0))));
    if (!locks.locks_.back()) {
      return std::nullopt;
    }
  }
  return locks;
}

void require_free(const base::Store& store, const std::string& id) {
  const std::optional<base::LockMode> inherited = base::inherited_lock(store, id);
  const bool is_free =
      inherited
          ? *inherited == base::LockMode::exclusive
          : base::wait_until_free(store, id, base::Deadline::after(std::chrono::milliseconds(0)));
  if (!is_free) {
    throw base::Refused("cannot lock " + base::quoted(id) + ": " +
                        base::describe_conflict(store, id) + "; wait for it to end");
  }
}

}  // namespace meta
