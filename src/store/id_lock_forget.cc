// SPDX-License-Identifier: Apache-2.0
// Examines and removes idle lock files.
#include "store/id_lock_forget.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/timed_flock.h"
#include "store/id_lock_file.h"

namespace store {
namespace {

struct Locked {
  LockFiles what = LockFiles::absent;
  base::Fd fd;  // the locked file of an idle lock; closing it releases the lock
};

bool is_ours(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && st.st_nlink == 1;
}

// Returns what the file is without locking it: `idle` for a lock file.
LockFiles kind_of(const Store& store, const std::string& path) {
  const std::optional<base::Fd> fd = store.try_open_below(path, O_PATH | O_NOFOLLOW);
  return !fd ? LockFiles::absent : is_ours(fd->get()) ? LockFiles::idle : LockFiles::foreign;
}

Locked try_lock(const Store& store, const std::string& path, bool create = false) {
  std::optional<base::Fd> fd;
  try {
    fd = create ? store.open_below(path, kLockFileFlags | O_CREAT, 0600)
                : store.try_open_below(path, kLockFileFlags);
  } catch (const base::BadData&) {  // a symbolic link
    return {.what = LockFiles::foreign, .fd = {}};
  }
  if (!fd) {
    return {};
  }
  if (::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) {
    // On a filesystem without locks it is not known whether the file is in use.
    if (errno != EWOULDBLOCK && !base::means_no_locks(errno)) {
      base::throw_errno("cannot lock " + base::quoted(path));
    }
    return {.what = LockFiles::in_use, .fd = {}};
  }
  if (!names_file(path, fd->get())) {
    return {.what = LockFiles::in_use, .fd = {}};
  }
  // Checked last: a file that another forget_lock has removed has no name.
  if (!is_ours(fd->get())) {
    return {.what = LockFiles::foreign, .fd = {}};
  }
  return {.what = LockFiles::idle, .fd = std::move(*fd)};
}

void remove_name(int dir, const std::string& path) {
  if (::unlinkat(dir, path.substr(path.rfind('/') + 1).c_str(), 0) != 0 && errno != ENOENT) {
    base::throw_errno("cannot remove " + base::quoted(path));
  }
}

LockFiles inspect(const Store& store, std::string_view id, bool remove) {
  check_id(id);
  const std::string gate_name = gate_path(store, id);
  const std::string path = lock_path(store, id);
  Locked gate = try_lock(store, gate_name);  // released last
  if (gate.what == LockFiles::absent && remove) {
    if (const LockFiles kind = kind_of(store, path); kind != LockFiles::idle) {
      return kind;
    }
    // If the gate does not exist, a caller that does not wait creates one, takes it, and is
    // refused because this function holds the lock.
    try {
      gate = try_lock(store, gate_name, true);
    } catch (const std::system_error& error) {
      if (!is_no_space(error)) {
        throw;
      }
    }
  }
  if (gate.what == LockFiles::in_use || gate.what == LockFiles::foreign) {
    return gate.what;
  }
  const Locked lock = try_lock(store, path);
  if (lock.what == LockFiles::in_use || lock.what == LockFiles::foreign) {
    return lock.what;
  }
  if (!lock.fd && !gate.fd) {
    return LockFiles::absent;
  }
  if (remove) {
    const base::Fd dir = store.open_below(store.locks_dir(), O_PATH | O_DIRECTORY);
    if (lock.fd) {
      remove_name(dir.get(), path);
    }
    if (gate.fd) {
      remove_name(dir.get(), gate_name);
    }
  }
  return LockFiles::idle;
}

}  // namespace

LockFiles examine_lock(const Store& store, std::string_view id) {
  return inspect(store, id, false);
}

LockFiles forget_lock(const Store& store, std::string_view id) {
  return inspect(store, id, true);
}

}  // namespace store
