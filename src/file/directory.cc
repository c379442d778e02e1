// SPDX-License-Identifier: Apache-2.0
// Lists directories, flushes trees, and links open files.
#include "file/directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <string_view>

#include "base/error.h"
#include "base/file_status.h"

namespace file {
namespace {

mode_t type_of(int dir, const struct dirent& entry, const std::string& path) {
  if (entry.d_type != DT_UNKNOWN) {
    return DTTOIF(static_cast<mode_t>(entry.d_type));
  }
  return base::lstat_at(dir, entry.d_name, path + "/" + entry.d_name).st_mode & S_IFMT;
}

}  // namespace

std::vector<Entry> list_directory(int dir, const std::string& path) {
  // closedir(3) closes the descriptor that the stream received; the caller keeps its own.
  base::Fd own(::fcntl(dir, F_DUPFD_CLOEXEC, 0));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(own ? ::fdopendir(own.get()) : nullptr,
                                                   ::closedir);
  if (stream == nullptr) {
    base::throw_errno("cannot read directory " + base::quoted(path));
  }
  own.release();
  // btrfs (since Linux 6.5) lists only the entries that existed when the directory was opened.
  // For a directory that was filled since then, that list is empty without this call.
  ::rewinddir(stream.get());
  std::vector<Entry> entries;
  for (;;) {
    errno = 0;
    const struct dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) {
        base::throw_errno("cannot read directory " + base::quoted(path));
      }
      break;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      entries.push_back({.name = std::string(name), .type = type_of(dir, *entry, path)});
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  return entries;
}

void walk_tree(int dir, const std::string& path, const Visit& visit) {
  for (const Entry& entry : list_directory(dir, path)) {
    const std::string entry_path = path + "/" + entry.name;
    if (!visit(dir, entry, entry_path) || entry.type != S_IFDIR) {
      continue;
    }
    const base::Fd fd(::openat(dir, entry.name.c_str(), O_RDONLY | O_DIRECTORY | kNoFollow));
    if (fd) {
      walk_tree(fd.get(), entry_path, visit);
    } else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
      base::throw_errno("cannot open " + base::quoted(entry_path));
    }
  }
}

void sync_tree(int dir, const std::string& path) {
  for (const Entry& entry : list_directory(dir, path)) {
    if (entry.type != S_IFREG && entry.type != S_IFDIR) {
      continue;  // fsync of the directory includes its symlinks
    }
    const std::string entry_path = path + "/" + entry.name;
    const base::Fd fd(::openat(dir, entry.name.c_str(), O_RDONLY | kNoFollow));
    if (!fd) {
      base::throw_errno("cannot open " + base::quoted(entry_path));
    }
    if (entry.type == S_IFDIR) {
      sync_tree(fd.get(), entry_path);
    } else {
      base::sync_fd(fd.get(), entry_path);
    }
  }
  base::sync_fd(dir, path);
}

void make_directories(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string directory = path.substr(0, slash);
    if (::mkdir(directory.c_str(), mode) != 0 && errno != EEXIST && errno != EISDIR) {
      base::throw_errno("cannot create " + base::quoted(directory));
    }
    if (slash == std::string::npos) {
      return;
    }
  }
}

std::string name_of_open(int fd, const std::string& path) {
  std::array<char, PATH_MAX> name{};
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(self.c_str(), name.data(), name.size() - 1);
  if (length < 0) {
    base::throw_errno("cannot look up " + base::quoted(path));
  }
  return {name.data(), static_cast<size_t>(length)};
}

int link_descriptor(int fd, int dir, const std::string& name) {
  const int result = ::linkat(fd, "", dir, name.c_str(), AT_EMPTY_PATH);
  if (result == 0 || errno != ENOENT) {
    return result;
  }
  // AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH or, from Linux 6.10 on, a descriptor that was opened
  // with the same credentials. The path in /proc needs neither.
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  return ::linkat(AT_FDCWD, self.c_str(), dir, name.c_str(), AT_SYMLINK_FOLLOW);
}

}  // namespace file
