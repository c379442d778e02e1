// SPDX-License-Identifier: Apache-2.0
#include "base/id_lock_forget.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/id_lock_file.h"

namespace base {
namespace {

struct Locked {
  LockFiles what = LockFiles::absent;
  Fd fd;  // of one that is idle; closing it ends the lock
};

bool is_ours(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && st.st_nlink == 1;
}

Locked try_lock(const Store& store, const std::string& path) {
  std::optional<Fd> fd;
  try {
    fd = store.try_open_below(path, kLockFileFlags);
  } catch (const BadData&) {  // a symbolic link
    return {.what = LockFiles::foreign, .fd = {}};
  }
  if (!fd) {
    return {};
  }
  if (::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      throw_errno("cannot lock " + base::quoted(path));
    }
    return {.what = LockFiles::in_use, .fd = {}};
  }
  if (!names_file(path, fd->get())) {
    return {.what = LockFiles::in_use, .fd = {}};
  }
  // Asked last: the file of a forget_lock that was faster has no name.
  if (!is_ours(fd->get())) {
    return {.what = LockFiles::foreign, .fd = {}};
  }
  return {.what = LockFiles::idle, .fd = std::move(*fd)};
}

void remove_name(int dir, const std::string& path) {
  if (::unlinkat(dir, path.substr(path.rfind('/') + 1).c_str(), 0) != 0 && errno != ENOENT) {
    throw_errno("cannot remove " + base::quoted(path));
  }
}

// The gate, made where only the lock has a file. A removal that held the lock without the gate
// would be taken for a holder by a caller that does not wait, as that has just made the gate.
Locked lock_or_make_gate(const Store& store, const std::string& gate_name,
                         const std::string& path) {
  for (;;) {
    Locked gate = try_lock(store, gate_name);
    if (gate.what != LockFiles::absent) {
      return gate;
    }
    try {
      const std::optional<Fd> lock = store.try_open_below(path, kLockFileFlags);
      if (!lock) {
        return gate;
      }
      if (!is_ours(lock->get())) {  // or removed by another forget_lock
        return {.what = names_file(path, lock->get()) ? LockFiles::foreign : LockFiles::in_use,
                .fd = {}};
      }
      store.open_below(gate_name, kLockFileFlags | O_CREAT, 0600);
    } catch (const BadData&) {  // a symbolic link
      return {.what = LockFiles::foreign, .fd = {}};
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::no_space_on_device && error.code().value() != EDQUOT) {
        throw;
      }
      return {.what = LockFiles::idle, .fd = {}};  // nor can others make a gate: go on without
    }
  }
}

LockFiles inspect(const Store& store, std::string_view id, bool remove) {
  check_id(id);
  const std::string gate_name = gate_path(store, id);
  const std::string path = lock_path(store, id);
  const Locked gate = remove ? lock_or_make_gate(store, gate_name, path)
                             : try_lock(store, gate_name);  // its lock ends last
  if (gate.what == LockFiles::in_use || gate.what == LockFiles::foreign ||
      (remove && gate.what == LockFiles::absent)) {
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
    const Fd dir = store.open_below(store.locks_dir(), O_PATH | O_DIRECTORY);
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

}  // namespace base
