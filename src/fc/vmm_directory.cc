// SPDX-License-Identifier: Apache-2.0
// Creates, locks, checks and removes the directory of a VMM.
#include "fc/vmm_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/file_status.h"
#include "base/number.h"
#include "base/process.h"
#include "base/socket_probe.h"
#include "base/timed_flock.h"
#include "base/unix_socket.h"
#include "fc/jail_request.h"
#include "file/directory.h"
#include "store/jail_undo.h"

namespace fc {
namespace {

constexpr mode_t kOwnerOnly = 0700;
constexpr mode_t kOthersWrite = 0022;
constexpr std::array kRunFiles{kApiSocket, kPid, kInput, kSharedLink};
constexpr std::array kKeptFiles{kConsole, kOlderConsole, kGuest, kOptions};

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw base::Refused("cannot use " + base::quoted(path) + ": " + why);
}

// A directory whose parent others can write to can be replaced by them.
void require_safe_parent(const std::string& path) {
  const std::string parent = path + "/..";
  const struct stat st = base::stat_path(parent);
  if ((st.st_uid != ::geteuid() && st.st_uid != 0) ||
      ((st.st_mode & kOthersWrite) != 0 && (st.st_mode & S_ISVTX) == 0)) {
    refuse(path, "others can write to the directory that it is in");
  }
}

void require_own(int fd, const std::string& path) {
  const struct stat st = base::stat_fd(fd, path);
  if (st.st_uid != ::geteuid() || (st.st_mode & kOthersWrite) != 0) {
    refuse(path, "others can write there, or it is not yours; choose a directory of mode 700");
  }
}

// Throws if a VMM uses the directory that `fd` is.
void refuse_live(int fd, const std::string& path) {
  const base::SocketProbe probe = base::probe_socket(path + "/" + kApiSocket);
  const std::optional<pid_t> pid = live_pid(fd);
  if (!probe.in_use && !pid) {
    return;
  }
  const pid_t shown = pid.value_or(probe.pid);
  refuse(path, "a VMM uses it" + (shown != 0 ? " (process " + std::to_string(shown) + ")" : "") +
                   "; end it first");
}

// Nothing if it does not exist.
std::optional<base::Fd> open_directory(const std::string& path) {
  base::Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) {
      return std::nullopt;
    }
    base::throw_errno("cannot use " + base::quoted(path));
  }
  require_safe_parent(path);
  require_own(fd.get(), path);
  return fd;
}

// Whether the path still names the directory that was opened.
bool is_current(int fd, const std::string& path) {
  const std::optional<struct stat> now = base::try_lstat_path(path);
  return now && base::is_same_file(*now, base::stat_fd(fd, path));
}

}  // namespace

VmmDirectory::VmmDirectory(std::string path, base::Fd fd)
    : path_(std::move(path)), fd_(std::make_shared<const base::Fd>(std::move(fd))) {}

VmmDirectory VmmDirectory::take(const std::string& path, const base::Deadline& deadline) {
  base::check_socket_path(path + "/" + kApiSocket);
  for (;;) {
    file::make_directories(path, kOwnerOnly);
    std::optional<base::Fd> fd = open_directory(path);
    if (!fd) {
      continue;  // another process removed it
    }
    refuse_live(fd->get(), path);
    if (!base::lock_file(fd->get(), LOCK_EX, deadline, path)) {
      refuse(path, "another process uses it");
    }
    if (is_current(fd->get(), path)) {
      refuse_live(fd->get(), path);
      VmmDirectory directory(path, *std::move(fd));
      directory.remove_run_files();
      directory.remove_kept_files();
      return directory;
    }
  }
}

void VmmDirectory::check(const std::string& path) {
  base::check_socket_path(path + "/" + kApiSocket);
  if (const std::optional<base::Fd> fd = open_directory(path)) {
    refuse_live(fd->get(), path);
  }
}

base::Fd VmmDirectory::make_input() const {
  constexpr mode_t kMode = 0600;
  if (::mkfifoat(fd_->get(), kInput, kMode) != 0) {
    base::throw_errno("cannot create " + base::quoted(file(kInput)));
  }
  return base::open_at(fd_->get(), kInput, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
}

void VmmDirectory::write_new(const char* name, const std::string& text) const {
  constexpr mode_t kMode = 0600;
  const base::Fd out =
      base::open_at(fd_->get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kMode);
  base::write_full(out.get(), text + "\n", file(name));
}

void VmmDirectory::write_pid(pid_t pid) const {
  write_new(kPid,
            std::to_string(pid) + " " + std::to_string(base::process_start_time(pid).value_or(0)));
}

void VmmDirectory::write_guest(const std::string& guest) const {
  write_new(kGuest, guest);
}

void VmmDirectory::remove_run_files() const {
  store::undo_jail(fd_->get());
  for (const char* name : kRunFiles) {
    ::unlinkat(fd_->get(), name, 0);
  }
}

void VmmDirectory::remove_kept_files() const {
  for (const char* name : kKeptFiles) {
    ::unlinkat(fd_->get(), name, 0);
  }
}

void VmmDirectory::remove() const {
  remove_run_files();
  remove_kept_files();
  if (is_current(fd_->get(), path_)) {
    ::rmdir(path_.c_str());
  }
}

std::optional<pid_t> live_pid(int directory) {
  const base::Fd fd(::openat(directory, kPid, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    return std::nullopt;
  }
  constexpr size_t kMost = 64;
  const std::string text = base::read_regular(fd.get(), kMost, kPid);
  const size_t space = text.find(' ');
  const std::optional<pid_t> pid = base::parse_number<pid_t>(text.substr(0, space));
  if (!pid || *pid <= 0 || space == std::string::npos) {
    return std::nullopt;
  }
  const std::string since = text.substr(space + 1, text.find('\n') - space - 1);
  if (base::process_start_time(*pid) != base::parse_number<uint64_t>(since)) {
    return std::nullopt;
  }
  return pid;
}

}  // namespace fc
