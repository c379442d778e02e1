// SPDX-License-Identifier: Apache-2.0
// Scans the descriptors in /proc for a file.
#include "base/open_files.h"

#include <dirent.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/file_status.h"
#include "base/number.h"

namespace base {
namespace {

constexpr size_t kMaxFdinfoBytes = size_t{1} << 20U;

// Returns the fdinfo of descriptor `fd` under /proc/<process>, if it is open on `file`.
std::optional<std::string> fdinfo_of(const std::string& process, const std::string& fd,
                                     const struct stat& file) {
  struct stat st {};
  if (::stat((process + "/fd/" + fd).c_str(), &st) != 0 || !is_same_file(st, file)) {
    return std::nullopt;
  }
  try {
    const std::string path = process + "/fdinfo/" + fd;
    const Fd info = open_file(path, O_RDONLY);
    return read_all(info.get(), kMaxFdinfoBytes, path);
  } catch (const std::exception&) {
    return std::nullopt;  // it was closed, or the process ended, during the scan
  }
}

}  // namespace

std::vector<std::string> numeric_names(const std::string& path) {
  const auto close_dir = [](DIR* dir) { ::closedir(dir); };
  const std::unique_ptr<DIR, decltype(close_dir)> dir(::opendir(path.c_str()), close_dir);
  std::vector<std::string> names;
  while (const struct dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    const std::string_view name(entry->d_name);
    if (std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) {
      names.emplace_back(name);
    }
  }
  return names;
}

std::vector<OpenFile> find_open_files(const struct stat& file) {
  std::vector<OpenFile> found;
  for (const std::string& name : numeric_names("/proc")) {
    const pid_t pid = parse_number<pid_t>(name).value_or(0);
    const std::string process = "/proc/" + name;
    for (const std::string& fd : numeric_names(process + "/fd")) {
      if (std::optional<std::string> info = fdinfo_of(process, fd, file)) {
        found.push_back({.pid = pid, .fdinfo = std::move(*info)});
      }
    }
  }
  std::ranges::stable_sort(found, {}, &OpenFile::pid);
  return found;
}

bool is_writable(const OpenFile& open) {
  constexpr std::string_view kKey = "flags:";
  constexpr int kOctal = 8;
  const size_t key = open.fdinfo.find(kKey);
  const size_t digits = open.fdinfo.find_first_of("01234567", key);
  unsigned flags = 0;
  if (key != std::string::npos && digits != std::string::npos) {
    std::string_view rest = std::string_view(open.fdinfo).substr(digits);
    flags = take_number<unsigned>(rest, kOctal).value_or(0);
  }
  return (flags & O_ACCMODE) != O_RDONLY;
}

std::string own_fdinfo(int fd, const struct stat& file) {
  // fstat is cheaper than fdinfo: of hundreds of inherited descriptors nearly all are on other
  // files.
  struct stat st {};
  if (::fstat(fd, &st) != 0 || !is_same_file(st, file)) {
    return "";
  }
  return fdinfo_of("/proc/self", std::to_string(fd), file).value_or("");
}

}  // namespace base
