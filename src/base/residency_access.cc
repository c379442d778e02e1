// SPDX-License-Identifier: Apache-2.0
// Repeats the check that the kernel makes before it answers mincore(2).
#include "base/residency_access.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace base {

bool may_use_mincore(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 &&
         (st.st_uid == ::geteuid() || ::faccessat(fd, "", W_OK, AT_EACCESS | AT_EMPTY_PATH) == 0);
}

}  // namespace base
