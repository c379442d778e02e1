// SPDX-License-Identifier: Apache-2.0
// Claims, watches and restores the run directory of a service.
#include "pager/serve/run_dir.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/deadline.h"
#include "base/error.h"
#include "base/file_status.h"
#include "pager/serve/shared_state.h"

namespace pager {
namespace {

std::string directory_of(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

}  // namespace

RunDir RunDir::claim(const ServicePaths& paths) {
  constexpr std::chrono::milliseconds kEnding{500};
  constexpr std::chrono::milliseconds kAgain{10};
  make_control_dir(paths);
  RunDir made(paths);
  for (const base::Deadline deadline = base::Deadline::after(kEnding);;) {
    try {
      made.directory_ = claim_sessions_dir(paths.sessions);
      made.listeners_.emplace_back(paths.control, base::SocketClaim::by_lock);
      made.watch();
      return made;
    } catch (const base::Refused&) {
      if (deadline.passed()) {
        throw;
      }
      std::this_thread::sleep_for(kAgain);
    }
  }
}

RunDir RunDir::adopt(const ServicePaths& paths, HeldThings& things) {
  std::vector<base::Fd>& fds = things.at(kServiceKey).fds;
  base::Fd state(::fcntl(fds.at(kept::kServiceState).get(), F_DUPFD_CLOEXEC, 0));
  const SharedMemory memory = adopt_service_state(std::move(state));
  RunDir made(paths);
  made.directory_ = std::move(fds.at(kept::kDirectoryLock));
  made.listeners_.push_back(base::UnixListener::adopt(
      paths.control, std::move(fds.at(kept::kControl)), std::move(fds.at(kept::kControlLock)),
      memory.as<ServiceState>().control));
  made.watch();
  return made;
}

std::vector<int> RunDir::descriptors() const {
  return {directory_.get(), listener().fd(), listener().lock()};
}

void RunDir::watch() {
  constexpr uint32_t kEvents =
      IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
  watch_ = base::Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  for (const std::string& dir : {paths_.sessions, directory_of(paths_.control)}) {
    static_cast<void>(::inotify_add_watch(watch_.get(), dir.c_str(), kEvents));
  }
}

void RunDir::clear_events() const {
  std::array<char, 4096> events{};
  while (::read(watch_.get(), events.data(), events.size()) > 0) {
  }
}

bool RunDir::has_directory() const {
  const std::optional<struct stat> now = base::try_lstat_path(paths_.sessions);
  return now && base::is_same_file(*now, base::stat_fd(directory_.get(), paths_.sessions));
}

bool RunDir::is_intact() const {
  return has_directory() && listener().is_reachable();
}

void RunDir::restore() {
  const std::string dir = directory_of(paths_.control);
  if (!base::try_lstat_path(dir)) {
    constexpr mode_t kMode = 0700;
    std::filesystem::create_directories(directory_of(dir));
    if (::mkdir(dir.c_str(), kMode) != 0 && errno != EEXIST) {
      base::throw_errno("cannot create " + base::quoted(dir));
    }
  }
  if (!has_directory()) {
    directory_ = claim_sessions_dir(paths_.sessions);
  }
  if (!listener().is_reachable()) {
    listeners_.push_back(base::UnixListener::bind_again(listener()));
  }
  watch();
}

}  // namespace pager
