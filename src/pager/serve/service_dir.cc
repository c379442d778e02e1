// SPDX-License-Identifier: Apache-2.0
// Creates, claims and cleans the directory of a service.
#include "pager/serve/service_dir.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "pager/serve/shared_state.h"
#include "pager/serve/vmm_records.h"
#include "store/files.h"
#include "store/run_dir.h"

namespace pager {
namespace {

namespace fs = std::filesystem;

}  // namespace

ServicePaths own_layout(const std::string& control_path) {
  return {.control = store::absolute_path(control_path),
          .sessions = store::socket_dir_of(control_path),
          .pid_file = ""};
}

ServicePaths hypeman_layout(const std::string& data_dir, const std::string& version_key) {
  if (version_key.empty() || version_key.starts_with('.') ||
      version_key.find('/') != std::string::npos) {
    throw base::UsageError("bad value " + base::quoted(version_key) +
                           " for --version-key: a plain name such as 0.1.6 is needed");
  }
  const fs::path dir = fs::absolute(data_dir) / "uffd" / version_key;
  return {.control = (dir / "control.sock").string(),
          .sessions = (dir / "sessions").string(),
          .pid_file = (dir / "pager.pid").string()};
}

void make_control_dir(const ServicePaths& paths) {
  if (!paths.pid_file.empty()) {
    const fs::path dir = fs::path(paths.control).parent_path();
    std::error_code error;
    // If other users could write here, they could replace "sessions" by another directory. No other
    // thread creates files yet, so umask(2) is safe.
    constexpr mode_t kOwnOnly = 077;
    const mode_t umask_before = ::umask(kOwnOnly);
    fs::create_directories(dir, error);
    ::umask(umask_before);
    if (error) {
      base::throw_error_number(error.value(), "cannot create " + base::quoted(dir.string()));
    }
  }
}

base::Fd claim_sessions_dir(const std::string& dir) {
  constexpr mode_t kMode = 0700;
  if (::mkdir(dir.c_str(), kMode) != 0 && errno != EEXIST) {
    if (errno == ENOENT) {
      const std::string parent = fs::path(dir).parent_path().string();
      throw base::Error(base::ExitCode::system, "cannot create " + base::quoted(dir) +
                                                    ": no directory " + base::quoted(parent) +
                                                    "; mkdir -m 700 makes it");
    }
    base::throw_errno("cannot create " + base::quoted(dir));
  }
  base::Fd fd = base::open_file(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const struct stat st = base::stat_fd(fd.get(), dir);
  if (st.st_uid != ::geteuid()) {
    throw base::Refused("cannot use " + base::quoted(dir) + ": it belongs to user " +
                        std::to_string(st.st_uid));
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      throw base::Refused(
          "cannot use " + base::quoted(dir) +
          ": another server uses it; stop that server, or put the control socket into "
          "another directory");
    }
    base::throw_errno("cannot lock " + base::quoted(dir));
  }
  if ((st.st_mode & 07777) != kMode && ::fchmod(fd.get(), kMode) != 0) {
    base::throw_errno("cannot set the mode of " + base::quoted(dir));
  }
  return fd;
}

void remove_leftovers(const std::string& dir, const std::set<std::string>& in_use) {
  for (const fs::directory_entry& entry : fs::directory_iterator(dir)) {
    const std::string path = entry.path().string();
    const std::string name = entry.path().filename().string();
    if (in_use.contains(name)) {
      continue;
    }
    // A temporary name is that of a record whose writer was killed: the directory is locked.
    if (entry.is_socket() || path.ends_with(StateFiles::kSession) ||
        path.ends_with(StateFiles::kEndpoint) || base::is_temporary_name(name)) {
      ::unlink(path.c_str());
    } else if (path.ends_with(".vmm")) {
      if (VmmRecords::names_living_process(path)) {
        base::say_warning(base::quoted(path) + " names a VMM of a killed server; its guest hangs");
      } else {
        ::unlink(path.c_str());
      }
    }
  }
}

PidFile::PidFile(std::string path) : path_(std::move(path)) {
  if (!path_.empty()) {
    constexpr mode_t kMode = 0644;
    base::write_file_atomic(path_, std::to_string(::getpid()) + "\n", kMode, base::Durable::no);
  }
}

PidFile::~PidFile() {
  if (!path_.empty()) {
    ::unlink(path_.c_str());
  }
}

}  // namespace pager
