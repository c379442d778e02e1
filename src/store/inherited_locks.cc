// SPDX-License-Identifier: Apache-2.0
// Finds inherited locks in SNAPFORK_LOCK_FD and /proc/self.
#include "store/inherited_locks.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "base/error.h"
#include "base/message.h"
#include "base/number.h"
#include "base/open_files.h"
#include "store/id_lock_file.h"

namespace store {
namespace {

// Returns the numbers in SNAPFORK_LOCK_FD; skips everything that is not a number.
std::vector<int> listed_fds() {
  const char* list = std::getenv("SNAPFORK_LOCK_FD");
  std::vector<int> fds;
  for (std::string_view rest = list != nullptr ? list : ""; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (const std::optional<int> fd = base::parse_number<int>(rest.substr(0, comma))) {
      fds.push_back(*fd);
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return fds;
}

// Returns whether one of the descriptors is the directory of lock files, locked exclusively.
bool holds_directory(const Store& store, const std::vector<int>& fds) {
  struct stat dir {};
  return !fds.empty() && ::stat(store.locks_dir().c_str(), &dir) == 0 &&
         std::ranges::any_of(fds, [&](int fd) {
           const std::optional<HeldLock> held = lock_in_fdinfo(base::own_fdinfo(fd, dir));
           return held && held->mode == LockMode::exclusive;
         });
}

// Sorts after every id.
constexpr const char* kDirectory = "~";

}  // namespace

std::optional<LockMode> inherited_lock(const Store& store, std::string_view id) {
  struct stat wanted {};
  const std::vector<int> fds = listed_fds();
  if (fds.empty()) {
    return std::nullopt;
  }
  if (::stat(lock_path(store, id).c_str(), &wanted) != 0) {
    return errno == ENOENT && holds_directory(store, fds) ? std::optional(LockMode::exclusive)
                                                          : std::nullopt;
  }
  if (!is_checked(wanted) && holds_directory(store, fds)) {
    return LockMode::exclusive;  // no process can check the file, so none holds it
  }
  for (const int fd : fds) {
    if (const std::optional<HeldLock> held = lock_in_fdinfo(base::own_fdinfo(fd, wanted))) {
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
    // The name is only a hint: a parent may have reached the store by another path.
    struct stat file {};
    if (is_valid_id(name) && ::stat(lock_path(store, name).c_str(), &file) == 0 &&
        lock_in_fdinfo(base::own_fdinfo(fd, file))) {
      ids.emplace_back(name);
    }
  }
  std::ranges::sort(ids);
  return ids;
}

void close_inherited_locks() {
  for (const int fd : listed_fds()) {
    // Closes locks only: the variable may be older than the descriptors.
    struct stat file {};
    if (fd > STDERR_FILENO && ::fstat(fd, &file) == 0 &&
        lock_in_fdinfo(base::own_fdinfo(fd, file))) {
      ::close(fd);
    }
  }
  ::unsetenv("SNAPFORK_LOCK_FD");
}

std::string last_inherited_id(const Store& store) {
  if (holds_directory(store, listed_fds())) {
    return kDirectory;
  }
  const std::vector<std::string> ids = inherited_ids(store);
  return ids.empty() ? "" : ids.back();
}

std::string why_not_waited_for(std::string_view held) {
  if (held == kDirectory) {
    return "did not wait, because the directory of lock files is locked: the disk was full";
  }
  return "did not wait, because the lock on " + base::quoted(held) +
         " is held already; take both in one call of template-lock";
}

}  // namespace store
