// SPDX-License-Identifier: Apache-2.0
// Names, flags and /proc/PID/fdinfo of lock files.
#include "store/id_lock_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "base/number.h"
#include "base/open_files.h"

namespace store {
namespace {

// The position of a lock that a process took for another one has the pid of the owner in its last
// 22 bits (PID_MAX_LIMIT), and before them the time: from kLong on in units of 16 ms since 1970,
// from kShort on in units of 32 s since the boot, for 776 days. (On ext4 a position has 44 bits.) A
// smaller position is the time alone, in ms since 1970.
constexpr int kOwnerBits = 22;
constexpr int64_t kOwnerMask = (int64_t{1} << kOwnerBits) - 1;
constexpr int64_t kLong = int64_t{1} << 44U;
constexpr int64_t kShort = int64_t{1} << 43U;  // as ms since 1970: the year 2248
constexpr int64_t kLongUnitMs = 16;
constexpr int64_t kShortUnitMs = 32'000;

int64_t now_ms(clockid_t clock) {
  struct timespec now {};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

static_assert(kLockSuffix.size() == kGateSuffix.size());

template <typename Number>
std::optional<Number> number_at(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return base::take_number<Number>(text);
}

}  // namespace

std::string lock_path(const Store& store, std::string_view id) {
  return store.locks_dir() + "/" + std::string(id) + std::string(kLockSuffix);
}

std::string gate_path(const Store& store, std::string_view id) {
  return store.locks_dir() + "/" + std::string(id) + std::string(kGateSuffix);
}

std::string_view id_of_lock_name(std::string_view name) {
  if (!name.ends_with(kLockSuffix) && !name.ends_with(kGateSuffix)) {
    return {};
  }
  name.remove_suffix(kLockSuffix.size());
  return is_valid_id(name) ? name : std::string_view();
}

bool names_file(const std::string& path, int fd) {
  struct stat open {};
  struct stat named {};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         base::is_same_file(open, named);
}

bool is_checked(const struct stat& file) {
  return (file.st_mode & S_ISVTX) != 0;
}

void mark_checked(int fd, const std::string& path) {
  if (::fchmod(fd, S_ISVTX | S_IRUSR | S_IWUSR) != 0) {
    base::throw_errno("cannot mark " + base::quoted(path));
  }
}

void note_time(int fd, pid_t owner) {
  const int64_t time = now_ms(CLOCK_REALTIME);
  if (owner == 0) {
    ::lseek(fd, time, SEEK_SET);
  } else if (::lseek(fd, time / kLongUnitMs << kOwnerBits | owner, SEEK_SET) == -1) {
    const int64_t since_boot = now_ms(CLOCK_BOOTTIME) / kShortUnitMs;
    ::lseek(fd, kShort | since_boot << kOwnerBits | owner, SEEK_SET);
  }
}

std::optional<HeldLock> lock_in_fdinfo(std::string_view text) {
  constexpr std::string_view kKind = "FLOCK";
  constexpr std::string_view kPosition = "pos:";
  const size_t line = text.find(kKind);
  if (line == std::string_view::npos) {
    return std::nullopt;
  }
  HeldLock held;
  std::string_view rest = text.substr(line, text.find('\n', line) - line);
  for (const auto& [word, mode] :
       {std::pair("READ", LockMode::shared), std::pair("WRITE", LockMode::exclusive)}) {
    if (const size_t at = rest.find(word); at != std::string_view::npos) {
      held.mode = mode;
      held.taker = std::max(
          0, number_at<pid_t>(rest.substr(at + std::string_view(word).size())).value_or(0));
    }
  }
  if (text.starts_with(kPosition)) {
    const int64_t position = number_at<int64_t>(text.substr(kPosition.size())).value_or(0);
    if (position >= kLong) {
      held.since_ms = (position >> kOwnerBits) * kLongUnitMs;
      held.taker = static_cast<pid_t>(position & kOwnerMask);
    } else if (position >= kShort) {
      const int64_t since_boot = ((position - kShort) >> kOwnerBits) * kShortUnitMs;
      held.since_ms = now_ms(CLOCK_REALTIME) - now_ms(CLOCK_BOOTTIME) + since_boot;
      held.taker = static_cast<pid_t>(position & kOwnerMask);
    } else if (position > 0) {
      held.since_ms = position;
    }
  }
  return held;
}

bool is_no_space(const std::system_error& error) {
  return error.code() == std::errc::no_space_on_device || error.code().value() == EDQUOT;
}

}  // namespace store
