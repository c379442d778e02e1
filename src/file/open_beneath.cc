// SPDX-License-Identifier: Apache-2.0
// Opens files by openat2(2) with RESOLVE_NO_SYMLINKS.
#include "file/open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/error.h"

namespace file {
namespace {

// glibc has no wrapper for openat2(2). Returns -1 and errno on failure.
base::Fd call_openat2(int dir, const std::string& path, int flags, mode_t mode) {
  struct open_how how {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NOCTTY));
  how.mode = mode;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return base::Fd(static_cast<int>(::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how)));
}

[[noreturn]] void throw_open_failure(int error, const std::string& path, const std::string& shown) {
  const std::string what = "cannot open " + base::quoted(shown + "/" + path);
  if (error == ELOOP) {
    throw base::BadData(what +
                        ": it is, or lies behind, a symbolic link, which the store never follows; "
                        "replace it by the file or directory that it points to");
  }
  base::throw_error_number(error, what);
}

}  // namespace

base::Fd open_beneath(int dir, const std::string& path, int flags, const std::string& shown,
                      mode_t mode) {
  base::Fd fd = call_openat2(dir, path, flags, mode);
  if (!fd) {
    throw_open_failure(errno, path, shown);
  }
  return fd;
}

std::optional<base::Fd> try_open_beneath(int dir, const std::string& path, int flags,
                                         const std::string& shown) {
  base::Fd fd = call_openat2(dir, path, flags, 0);
  if (fd) {
    return fd;
  }
  if (errno == ENOENT) {
    return std::nullopt;
  }
  throw_open_failure(errno, path, shown);
}

}  // namespace file
