// SPDX-License-Identifier: Apache-2.0
// fork(2), execvp(3) and waitpid(2).
#include "launch/hot_reads.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/error.h"
#include "base/exit_code.h"

namespace launch {

HotReads::HotReads(const std::string& list, const std::string& memory, int lock_fd)
    : child_(::fork()) {
  if (child_ < 0) {
    base::throw_errno("cannot start a process");
  }
  if (child_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(lock_fd);
    // Standard output is for the record.
    const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    ::dup2(null, STDOUT_FILENO);
    ::execlp("hotpage-record", "hotpage-record", "readahead", list.c_str(), "--mem", memory.c_str(),
             nullptr);
    ::_exit(static_cast<int>(base::ExitCode::not_found));
  }
}

HotReads::~HotReads() {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    await();
  }
}

void HotReads::await() {
  while (child_ > 0 && ::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
  child_ = 0;
}

}  // namespace launch
