// SPDX-License-Identifier: Apache-2.0
#include "base/id_lock.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <cstdlib>

#include "base/error.h"
#include "base/id_lock_file.h"
#include "base/id_lock_holders.h"
#include "base/open_files.h"
#include "base/timed_flock.h"

namespace base {
namespace {

// How long a caller that does not wait stands at the gate. Other callers hold it for microseconds,
// and forget_lock for as long as two unlinks take on a busy disk.
constexpr std::chrono::milliseconds kGatePatience{500};

// Creates the file, and when that fails the layout, because both nearly always exist.
Fd open_lock_file(const Store& store, const std::string& path) {
  if (std::optional<Fd> fd = store.try_open_below(path, kLockFileFlags)) {
    return std::move(*fd);
  }
  store.create_layout();
  return store.open_below(path, kLockFileFlags | O_CREAT, 0600);
}

// Opens and locks a file of an id, again if forget_lock removed it while this process waited.
// Nothing when others held it until `deadline`.
std::optional<Fd> lock_current(const Store& store, const std::string& path, int operation,
                               const Deadline& deadline) {
  for (;;) {
    Fd fd = open_lock_file(store, path);
    if (!lock_file(fd.get(), operation, deadline, path)) {
      return std::nullopt;
    }
    if (names_file(path, fd.get())) {
      return fd;
    }
  }
}

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

// The numbers in SNAPFORK_LOCK_FD, without what is no number.
std::vector<int> listed_fds() {
  const char* list = std::getenv("SNAPFORK_LOCK_FD");
  std::vector<int> fds;
  for (std::string_view rest = list != nullptr ? list : ""; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (const std::optional<int> fd = parse_number(rest.substr(0, comma))) {
      fds.push_back(*fd);
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return fds;
}

}  // namespace

std::optional<IdLock> IdLock::acquire(const Store& store, std::string_view id, LockMode mode,
                                      const Deadline& deadline) {
  check_id(id);
  const Deadline at_gate = deadline.passed() ? Deadline::after(kGatePatience) : deadline;
  const std::optional<Fd> gate = lock_current(store, gate_path(store, id), LOCK_EX, at_gate);
  if (!gate) {
    return std::nullopt;
  }
  std::optional<Fd> fd = lock_current(store, lock_path(store, id),
                                      mode == LockMode::shared ? LOCK_SH : LOCK_EX, deadline);
  if (!fd) {
    return std::nullopt;
  }
  note_time(fd->get());
  return IdLock(std::move(*fd));
}

std::optional<LockMode> inherited_lock(const Store& store, std::string_view id) {
  struct stat wanted {};
  const std::vector<int> fds = listed_fds();
  if (fds.empty() || ::stat(lock_path(store, id).c_str(), &wanted) != 0) {
    return std::nullopt;
  }
  for (const int fd : fds) {
    if (const std::optional<HeldLock> held = lock_in_fdinfo(own_fdinfo(fd, wanted))) {
      return held->mode;
    }
  }
  return std::nullopt;
}

std::vector<std::string> inherited_ids(const Store& store) {
  std::vector<std::string> ids;
  for (const int fd : listed_fds()) {
    std::array<char, PATH_MAX> target{};
    const ssize_t length =
        ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), target.size());
    std::string_view name(target.data(), static_cast<size_t>(std::max<ssize_t>(length, 0)));
    name.remove_prefix(name.find_last_of('/') + 1);
    name.remove_suffix(name.ends_with(kLockSuffix) ? kLockSuffix.size() : 0);
    // The name is only a hint: the store may have been reached by another path.
    struct stat file {};
    if (is_valid_id(name) && ::stat(lock_path(store, name).c_str(), &file) == 0 &&
        lock_in_fdinfo(own_fdinfo(fd, file))) {
      ids.emplace_back(name);
    }
  }
  std::ranges::sort(ids);
  return ids;
}

void close_inherited_locks() {
  for (const int fd : listed_fds()) {
    // Only what is a lock: the variable may be older than the descriptors.
    struct stat file {};
    if (fd > STDERR_FILENO && ::fstat(fd, &file) == 0 && lock_in_fdinfo(own_fdinfo(fd, file))) {
      ::close(fd);
    }
  }
  ::unsetenv("SNAPFORK_LOCK_FD");
}

std::string last_inherited_id(const Store& store) {
  const std::vector<std::string> ids = inherited_ids(store);
  return ids.empty() ? "" : ids.back();
}

std::optional<IdLock> require_lock(const Store& store, std::string_view id, LockMode mode,
                                   const Deadline& deadline) {
  if (const std::optional<LockMode> inherited = inherited_lock(store, id)) {
    if (*inherited == LockMode::shared && mode == LockMode::exclusive) {
      throw Refused("cannot change " + base::quoted(id) +
                    ": the inherited lock is shared; start under template-lock --exclusive");
    }
    return std::nullopt;
  }
  const std::string held = last_inherited_id(store);
  const bool waits = held < id;
  std::optional<IdLock> lock = IdLock::acquire(
      store, id, mode, waits ? deadline : Deadline::after(std::chrono::milliseconds(0)));
  if (!lock) {
    throw Refused("cannot lock " + base::quoted(id) + ": " + describe_conflict(store, id) +
                  (waits ? "; wait for it to end" : "; " + why_not_waited_for(held)));
  }
  return lock;
}

std::string why_not_waited_for(std::string_view held) {
  return "not waited for, since the lock on " + base::quoted(held) +
         " is held already; take both in one call of template-lock";
}

bool wait_until_free(const Store& store, std::string_view id, const Deadline& deadline) {
  check_id(id);
  const std::string path = lock_path(store, id);
  // Without the gate: who only looks on must not keep anybody out.
  while (const std::optional<Fd> fd = store.try_open_below(path, kLockFileFlags)) {
    if (!lock_file(fd->get(), LOCK_EX, deadline, path)) {
      return false;
    }
    if (names_file(path, fd->get())) {
      break;
    }
  }
  return true;
}

}  // namespace base
