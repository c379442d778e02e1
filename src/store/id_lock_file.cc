// SPDX-License-Identifier: Apache-2.0
// Names, flags and /proc/PID/fdinfo of lock files.
#include "store/id_lock_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/file_status.h"
#include "base/open_files.h"

namespace store {
namespace {

static_assert(kLockSuffix.size() == kGateSuffix.size());

template <typename Number>
std::optional<Number> number_at(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
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

void note_time(int fd) {
  using std::chrono::milliseconds;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  ::lseek(fd, std::chrono::duration_cast<milliseconds>(now).count(), SEEK_SET);
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
    const auto position = number_at<int64_t>(text.substr(kPosition.size()));
    held.since_ms = position > 0 ? position : std::nullopt;
  }
  return held;
}

bool is_no_space(const std::system_error& error) {
  return error.code() == std::errc::no_space_on_device || error.code().value() == EDQUOT;
}

}  // namespace store
