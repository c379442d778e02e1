// SPDX-License-Identifier: Apache-2.0
// Creates the directory, and removes a socket without a listener.
#include "meta/guest/vsock_socket.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/process.h"
#include "base/socket_probe.h"
#include "meta/guest/guest_files.h"
#include "store/store.h"

namespace meta {
namespace {

std::string parent_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

void require_private(const std::string& dir) {
  const struct stat st = base::lstat_path(dir);
  if (!S_ISDIR(st.st_mode) || st.st_uid != ::geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    throw base::Refused("cannot use the run directory " + base::quoted(dir) +
                        ": others can write there, or it is not yours; set SNAPFORK_PAGER to a "
                        "path in a directory of mode 700");
  }
}

}  // namespace

void make_vsock_dir(const std::string& dir) {
  constexpr mode_t kPrivate = 0700;
  store::make_dirs(parent_of(dir), kPrivate);
  require_private(parent_of(dir));
  if (::mkdir(dir.c_str(), kPrivate) != 0 && errno != EEXIST) {
    base::throw_errno("cannot create directory " + base::quoted(dir));
  }
  require_private(dir);
}

void clear_vsock_socket(const std::string& path, const std::string& what, Leftover leftover) {
  const std::string dir = parent_of(path);
  const std::string name = path.substr(dir.size() + 1);
  const base::Fd parent(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const std::optional<struct stat> st =
      parent ? base::try_lstat_at(parent.get(), name, path) : std::nullopt;
  if (!st) {
    return;
  }
  if (!S_ISSOCK(st->st_mode)) {
    throw base::BadData(what + ": " + base::quoted(path) +
                        " is not a socket, and the VMM cannot make its vsock socket there; remove "
                        "it");
  }
  const base::SocketProbe probe = base::probe_socket(path);
  if (probe.in_use) {
    throw base::Refused(what + ": it runs: " + process_text(probe.pid) +
                        " listens on its vsock socket " + base::quoted(path));
  }
  if (leftover == Leftover::remove && ::unlinkat(parent.get(), name.c_str(), 0) != 0 &&
      errno != ENOENT) {
    base::throw_errno("cannot remove the leftover socket " + base::quoted(path));
  }
}

}  // namespace meta
