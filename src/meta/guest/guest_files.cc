// SPDX-License-Identifier: Apache-2.0
// Finds the processes that use a guest's files, by read leases and in /proc.
#include "meta/guest/guest_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <string_view>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/number.h"
#include "base/open_files.h"
#include "base/process.h"
#include "file/directory.h"
#include "file/file_lease.h"
#include "meta/guest/disks.h"
#include "store/files.h"

namespace meta {
namespace {

constexpr std::string_view kMemoryInGuest = "/snapshots/snapshot-latest/memory";

std::string_view last_component(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);
}

// The programs of this suite that read the files of guests which do not run.
bool is_ours_or_page_server(pid_t pid) {
  constexpr std::array<std::string_view, 5> kOurs{"hotpage-record", "reflink-clone",
                                                  "snapshot-meta", "template-lock", "template-oci"};
  const std::string name = base::process_name(pid);
  return pid == ::getpid() || is_page_server(name) ||
         std::ranges::find(kOurs, last_component(name)) != kOurs.end();
}

// Adds the regular files in `dir` and, up to `depth` levels deeper, in its directories.
void add_regular_files(const std::string& dir, int depth, std::vector<std::string>& files) {
  for (const std::string& name : store::list_names(dir).value_or(std::vector<std::string>())) {
    const std::string path = store::path_in(dir, name);
    struct stat st {};
    if (is_reserved_name(name) || base::is_temporary_name(name) ||
        ::lstat(path.c_str(), &st) != 0) {
      continue;
    }
    if (S_ISREG(st.st_mode)) {
      files.push_back(path);
    } else if (S_ISDIR(st.st_mode) && depth > 0) {
      add_regular_files(path, depth - 1, files);
    }
  }
}

// The first process in /proc that has the file open for writing; 0 if none is visible.
pid_t visible_writer(const struct stat& st) {
  for (const base::OpenFile& open : base::find_open_files(st)) {
    if (base::is_writable(open)) {
      return open.pid;
    }
  }
  return 0;
}

// The process that has the regular file `fd` open for writing. Returns nothing if no process has.
std::optional<FileUser> writer_of(int fd, const struct stat& st, const std::string& path) {
  switch (file::FileLease(fd, file::FileLease::Kind::read).state()) {
    case file::FileLease::State::held:
      return std::nullopt;
    case file::FileLease::State::refused:
      return FileUser{.path = path, .pid = visible_writer(st)};
    case file::FileLease::State::denied:
    case file::FileLease::State::unsupported:
      break;
  }
  const pid_t pid = visible_writer(st);
  return pid != 0 ? std::optional(FileUser{.path = path, .pid = pid}) : std::nullopt;
}

// The same for the file at `path`, which need not exist. A file that cannot be opened counts as
// used.
std::optional<FileUser> writer_of(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
      return std::nullopt;
    }
    return FileUser{.path = path};
  }
  if (!S_ISREG(st.st_mode)) {
    return std::nullopt;
  }
  const base::Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) {
    return errno == ENOENT ? std::nullopt : std::optional(FileUser{.path = path});
  }
  return writer_of(fd.get(), base::stat_fd(fd.get(), path), path);
}

// The process that uses the regular file `name` of the directory `dir`; see find_user.
std::optional<FileUser> user_of(int dir, const std::string& name, const std::string& path) {
  const base::Fd fd(::openat(dir, name.c_str(), O_RDONLY | file::kNoFollow));
  if (!fd) {
    const bool is_gone = errno == ENOENT || errno == ELOOP;
    return is_gone ? std::nullopt : std::optional(FileUser{.path = path});
  }
  const struct stat st = base::stat_fd(fd.get(), path);
  if (!S_ISREG(st.st_mode)) {
    return std::nullopt;
  }
  if (st.st_nlink == 1) {
    for (const base::OpenFile& open : base::find_open_files(st)) {
      if (!is_ours_or_page_server(open.pid)) {
        return FileUser{.path = path, .pid = open.pid};
      }
    }
  }
  return writer_of(fd.get(), st, path);
}

struct CloseDirectory {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using DirectoryStream = std::unique_ptr<DIR, CloseDirectory>;

// The target of a link in a directory of /proc; empty when it cannot be read.
std::string_view link_target(int dir, const char* name, std::array<char, PATH_MAX>& buffer) {
  const ssize_t length = ::readlinkat(dir, name, buffer.data(), buffer.size());
  return {buffer.data(), static_cast<size_t>(std::max<ssize_t>(length, 0))};
}

}  // namespace

bool is_page_server(std::string_view process_name) {
  const std::string_view name = last_component(process_name);
  return name == "uffd-serve" || name == "uffd-keeper" ||
         name.find("uffd-pager") != std::string_view::npos;
}

std::vector<std::string> writable_disks(const store::Store& store, const std::string& id,
                                        const Metadata& metadata) {
  const std::string dir = store.guest_dir(id);
  std::vector<std::string> files;
  try {
    for (const Disk& disk : disks_of(metadata)) {
      files.push_back(store::path_in(dir, disk.file));
    }
  } catch (const base::BadData&) {
    files.clear();
  }
  if (files.empty()) {
    add_regular_files(dir, 1, files);
  }
  return files;
}

std::optional<FileUser> find_writer(const std::vector<std::string>& files) {
  for (const std::string& path : files) {
    if (std::optional<FileUser> writer = writer_of(path)) {
      return writer;
    }
  }
  return std::nullopt;
}

std::optional<FileUser> find_user(const std::string& dir) {
  const std::optional<struct stat> st = base::try_lstat_path(dir);
  if (!st || !S_ISDIR(st->st_mode)) {
    return std::nullopt;  // a link has no files of its own
  }
  const base::Fd root = base::open_file(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  std::optional<FileUser> user;
  file::walk_tree(root.get(), dir, [&](int at, const file::Entry& entry, const std::string& path) {
    if (!user && entry.type == S_IFREG) {
      user = user_of(at, entry.name, path);
    }
    return !user;
  });
  return user;
}

MemoryUsers::MemoryUsers() {
  constexpr std::string_view kDeleted = " (deleted)";
  std::array<char, PATH_MAX> target{};
  for (const std::string& name : base::numeric_names("/proc")) {
    const pid_t pid = base::parse_number<pid_t>(name).value_or(0);
    // A lookup from the root of /proc for each descriptor takes three times as long.
    const DirectoryStream fds(::opendir(("/proc/" + name + "/fd").c_str()));
    while (const struct dirent* fd = fds ? ::readdir(fds.get()) : nullptr) {
      const int dir = ::dirfd(fds.get());
      std::string_view path =
          fd->d_name[0] != '.' ? link_target(dir, fd->d_name, target) : std::string_view();
      if (path.ends_with(kDeleted)) {
        path.remove_suffix(kDeleted.size());
      }
      struct stat st {};
      // snapshot-base/memory: hypeman renames the directory while the guest runs.
      if (path.ends_with("/memory") && ::fstatat(dir, fd->d_name, &st, 0) == 0 &&
          S_ISREG(st.st_mode) && !is_ours_or_page_server(pid)) {
        entries_.push_back({.id = base::file_id(st), .path = std::string(path), .pid = pid});
      }
    }
  }
}

std::optional<FileUser> MemoryUsers::of(const store::Store& store, const std::string& id) const {
  const std::string memory = store.memory_path(id);
  struct stat st {};
  if (::lstat(memory.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) {
    return std::nullopt;
  }
  const std::string own_end = "/guests/" + id + std::string(kMemoryInGuest);
  for (const Entry& entry : entries_) {
    if (entry.id == base::file_id(st) && (st.st_nlink == 1 || entry.path.ends_with(own_end))) {
      return FileUser{.path = memory, .pid = entry.pid};
    }
  }
  return std::nullopt;
}

std::string process_text(pid_t pid) {
  return pid == 0 ? "a process that is not visible here"
                  : "process " + std::to_string(pid) + " (" + base::process_name(pid) + ")";
}

}  // namespace meta
