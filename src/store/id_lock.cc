// SPDX-License-Identifier: Apache-2.0
// Takes locks on ids: the gate, the lock file, and the full disk.
#include "store/id_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "base/timed_flock.h"
#include "store/id_lock_file.h"
#include "store/id_lock_holders.h"
#include "store/inherited_locks.h"

namespace store {
namespace {

// How long a caller that does not wait for the lock waits for the gate. Other callers hold the gate
// for microseconds; forget_lock holds it for as long as two unlinks take on a busy disk.
constexpr std::chrono::milliseconds kGateTimeout{500};
constexpr std::chrono::milliseconds kQuietWait{1000};  // a longer wait is reported

base::Deadline deadline_at_gate(const base::Deadline& deadline) {
  return deadline.passed() ? base::Deadline::after(kGateTimeout) : deadline;
}

// Opens a file of an id; creates it if it does not exist.
base::Fd open_lock_file(const Store& store, const std::string& path) {
  if (std::optional<base::Fd> fd = store.try_open_below(path, kLockFileFlags)) {
    return std::move(*fd);
  }
  store.create_layout();
  return store.open_below(path, kLockFileFlags | O_CREAT, 0600);
}

enum class Check { mark, observe };

// Locks a lock file, and checks it if no process has done that yet (see IdLock). Returns false if
// other processes held the file, or the directory in its place, until `deadline`.
bool lock_and_check(const Store& store, const std::string& path, int fd, int operation,
                    const base::Deadline& deadline, Check check = Check::mark) {
  for (;;) {
    if (!base::lock_file(fd, operation, deadline, path)) {
      return false;
    }
    if (is_checked(base::stat_fd(fd, path))) {
      return true;
    }
    const base::Fd dir = store.open_below(store.locks_dir(), O_RDONLY | O_DIRECTORY);
    if (base::lock_file(dir.get(), LOCK_SH, base::Deadline::after(std::chrono::milliseconds(0)),
                        store.locks_dir())) {
      if (check == Check::mark) {
        mark_checked(fd, path);
      }
      return true;
    }
    ::flock(fd, LOCK_UN);
    if (!base::lock_file(dir.get(), LOCK_SH, deadline_at_gate(deadline), store.locks_dir())) {
      return false;
    }
  }
}

// Opens and locks a file of an id. Starts again if forget_lock removed the file while this process
// waited. Returns nothing if other processes held it until `deadline`.
std::optional<base::Fd> lock_current(const Store& store, const std::string& path, int operation,
                                     const base::Deadline& deadline) {
  for (;;) {
    base::Fd fd = open_lock_file(store, path);
    if (!lock_and_check(store, path, fd.get(), operation, deadline)) {
      return std::nullopt;
    }
    if (names_file(path, fd.get())) {
      return fd;
    }
  }
}

// Takes the gate. The result has no descriptor if the gate does not exist and cannot be created,
// because the disk is full: the gate only keeps the order of the waiters. Returns nothing if other
// processes held it until `deadline`.
std::optional<base::Fd> pass_gate(const Store& store, const std::string& path,
                                  const base::Deadline& deadline) {
  for (;;) {
    base::Fd gate;
    try {
      gate = open_lock_file(store, path);
    } catch (const std::system_error& error) {
      if (!is_no_space(error)) {
        throw;
      }
      return gate;
    }
    if (!base::lock_file(gate.get(), LOCK_EX, deadline, path)) {
      return std::nullopt;
    }
    if (names_file(path, gate.get())) {
      return gate;
    }
  }
}

// Locks the directory of lock files in place of the file of an id that has none. The result has no
// descriptor if the file exists by then. Returns nothing if other processes held it until
// `deadline`.
std::optional<base::Fd> lock_directory(const Store& store, const std::string& path,
                                       const base::Deadline& deadline) {
  base::Fd dir = store.open_below(store.locks_dir(), O_RDONLY | O_DIRECTORY);
  // Processes that check a file hold the directory for microseconds.
  if (!base::lock_file(dir.get(), LOCK_EX, deadline_at_gate(deadline), store.locks_dir())) {
    return std::nullopt;
  }
  // From here on no other process can check the file.
  const bool is_ours =
      names_file(store.locks_dir(), dir.get()) && !store.try_open_below(path, O_PATH);
  return is_ours ? std::move(dir) : base::Fd();
}

std::optional<base::Fd> lock_id(const Store& store, const std::string& path, LockMode mode,
                                const base::Deadline& deadline, WhenFull when_full) {
  for (;;) {
    try {
      return lock_current(store, path, mode == LockMode::shared ? LOCK_SH : LOCK_EX, deadline);
    } catch (const std::system_error& error) {
      if (!is_no_space(error) || when_full == WhenFull::fail || mode == LockMode::shared) {
        throw;
      }
    }
    std::optional<base::Fd> dir = lock_directory(store, path, deadline);
    if (!dir || *dir) {
      return dir;
    }
  }
}

[[noreturn]] void refuse_file(const std::string& path, int fd) {
  throw base::TryAgain("cannot lock " + base::quoted(path) + ": descriptor " + std::to_string(fd) +
                       " is not open on its lock file; open it again");
}

// Locks the directory, open as `fd`, on a full disk. See lock_directory.
bool lock_callers_directory(const Store& store, const std::string& path, int fd,
                            const base::Deadline& deadline) {
  if (!base::lock_file(fd, LOCK_EX, deadline_at_gate(deadline), store.locks_dir())) {
    return false;
  }
  if (!names_file(store.locks_dir(), fd) || store.try_open_below(path, O_PATH)) {
    ::flock(fd, LOCK_UN);
    refuse_file(path, fd);
  }
  return true;
}

// The caller's file is not the lock file. Creates that; on a full disk locks the directory, if the
// caller opened it. Returns false if other processes held the directory until `deadline`; throws
// TryAgain if the caller should open the file, or the directory if there is no file.
bool lock_other_file(const Store& store, const std::string& path, int fd, LockMode mode,
                     const base::Deadline& deadline, WhenFull when_full) {
  try {
    open_lock_file(store, path);
  } catch (const std::system_error& error) {
    if (!is_no_space(error) || when_full == WhenFull::fail || mode == LockMode::shared) {
      throw;
    }
    if (names_file(store.locks_dir(), fd)) {
      return lock_callers_directory(store, path, fd, deadline);
    }
  }
  refuse_file(path, fd);
}

bool lock_callers_file(const Store& store, const std::string& path, int fd, LockMode mode,
                       const base::Deadline& deadline, WhenFull when_full) {
  if (!names_file(path, fd)) {
    return lock_other_file(store, path, fd, mode, deadline, when_full);
  }
  if (!S_ISREG(base::stat_fd(fd, path).st_mode)) {
    throw base::BadData("cannot lock " + base::quoted(path) + ": it is not a regular file");
  }
  if (!lock_and_check(store, path, fd, mode == LockMode::shared ? LOCK_SH : LOCK_EX, deadline)) {
    return false;
  }
  if (!names_file(path, fd)) {
    ::flock(fd, LOCK_UN);
    refuse_file(path, fd);
  }
  return true;
}

}  // namespace

std::optional<IdLock> IdLock::acquire(const Store& store, std::string_view id, LockMode mode,
                                      const base::Deadline& deadline, WhenFull when_full) {
  check_id(id);
  const auto gate = pass_gate(store, gate_path(store, id), deadline_at_gate(deadline));
  if (!gate) {
    return std::nullopt;
  }
  std::optional<base::Fd> fd = lock_id(store, lock_path(store, id), mode, deadline, when_full);
  if (!fd) {
    return std::nullopt;
  }
  note_time(fd->get());
  return IdLock(std::move(*fd));
}

std::optional<IdLock> IdLock::acquire_for(const CallersFile& file, const Store& store,
                                          std::string_view id, LockMode mode,
                                          const base::Deadline& deadline, WhenFull when_full) {
  check_id(id);
  base::Fd fd(::fcntl(file.fd, F_DUPFD_CLOEXEC, 0));
  if (!fd) {
    base::throw_errno("cannot use descriptor " + std::to_string(file.fd));
  }
  const auto gate = pass_gate(store, gate_path(store, id), deadline_at_gate(deadline));
  if (!gate ||
      !lock_callers_file(store, lock_path(store, id), file.fd, mode, deadline, when_full)) {
    return std::nullopt;
  }
  note_time(file.fd, file.owner);
  return IdLock(std::move(fd));
}

bool IdLock::is_lock_file(const CallersFile& file, const Store& store, std::string_view id,
                          WhenFull when_full) {
  check_id(id);
  const std::string path = lock_path(store, id);
  if (names_file(path, file.fd)) {
    return true;
  }
  try {
    open_lock_file(store, path);
    return false;
  } catch (const std::system_error& error) {
    if (!is_no_space(error) || when_full == WhenFull::fail) {
      throw;
    }
    return names_file(store.locks_dir(), file.fd);
  }
}

void IdLock::release() const {
  ::flock(fd_.get(), LOCK_UN);
}

std::optional<IdLock> acquire_and_report(const Store& store, std::string_view id, LockMode mode,
                                         const base::Deadline& deadline, WhenFull when_full,
                                         const std::optional<CallersFile>& file) {
  const auto acquire = [&](const base::Deadline& until) {
    return file ? IdLock::acquire_for(*file, store, id, mode, until, when_full)
                : IdLock::acquire(store, id, mode, until, when_full);
  };
  const base::Deadline quiet = base::Deadline::after(kQuietWait);
  const bool patient = deadline.is_never() || deadline.poll_timeout() > quiet.poll_timeout();
  std::optional<IdLock> lock = acquire(patient ? quiet : deadline);
  if (!lock && patient) {
    base::say_info("waiting for " + base::quoted(id) + ": " + describe_conflict(store, id));
    lock = acquire(deadline);
  }
  return lock;
}

std::optional<IdLock> require_lock(const Store& store, std::string_view id, LockMode mode,
                                   const base::Deadline& deadline, WhenFull when_full) {
  if (const std::optional<LockMode> inherited = inherited_lock(store, id)) {
    if (*inherited == LockMode::shared && mode == LockMode::exclusive) {
      throw base::Refused("cannot change " + base::quoted(id) +
                          ": the inherited lock is shared; start under template-lock --exclusive");
    }
    return std::nullopt;
  }
  const std::string held = last_inherited_id(store);
  const bool waits = held < id;
  std::optional<IdLock> lock = acquire_and_report(
      store, id, mode, waits ? deadline : base::Deadline::after(std::chrono::milliseconds(0)),
      when_full);
  if (!lock) {
    throw base::Refused("cannot lock " + base::quoted(id) + ": " + describe_conflict(store, id) +
                        (waits ? "; wait for it to end" : "; " + why_not_waited_for(held)));
  }
  return lock;
}

bool wait_until_free(const Store& store, std::string_view id, const base::Deadline& deadline) {
  check_id(id);
  const std::string path = lock_path(store, id);
  // Does not take the gate: a process that only observes must not delay others.
  for (;;) {
    if (const std::optional<base::Fd> fd = store.try_open_below(path, kLockFileFlags)) {
      if (!lock_and_check(store, path, fd->get(), LOCK_EX, deadline, Check::observe)) {
        return false;
      }
      if (names_file(path, fd->get())) {
        return true;
      }
      continue;
    }
    const auto dir = store.try_open_below(store.locks_dir(), O_RDONLY | O_DIRECTORY);
    if (!dir) {
      return true;
    }
    if (!base::lock_file(dir->get(), LOCK_SH, deadline, store.locks_dir())) {
      return false;
    }
    if (!store.try_open_below(path, O_PATH)) {
      return true;
    }
  }
}

}  // namespace store
