// SPDX-License-Identifier: Apache-2.0
// Closes descriptors, forks a child that lives on, and calls fc::supervise.
#include "launch/start.h"

#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <limits>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "fc/vmm_signals.h"

namespace launch {
namespace {

// Starts the VMM in a child, which lives on, and returns once it runs.
int detach(const fc::VmmRequest& request, const fc::SnapshotLoad* load) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    base::throw_errno("cannot create a pipe");
  }
  base::Fd read(ends[0]);
  base::Fd write(ends[1]);
  const pid_t caller = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    base::throw_errno("cannot start a process");
  }
  if (child == 0) {
    read.reset();
    return fc::supervise(request, {.caller = caller, .ready_fd = write.get(), .load = load});
  }
  write.reset();
  std::array<std::byte, 1> ready{};
  ssize_t length = 0;
  do {
    length = ::read(read.get(), ready.data(), ready.size());
  } while (length < 0 && errno == EINTR);
  if (length == 1) {
    ::kill(child, fc::kDetach);
    return 0;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // It has reported its failure itself.
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : static_cast<int>(base::ExitCode::wrapper));
}

}  // namespace

void add_start_options(base::Options& options) {
  options.value("firecracker", "PATH", "the program (default: from the PATH)")
      .value("arg", "ARG", "an argument for it; may be repeated")
      .value("netns", "NAME", "start it in this network namespace")
      .value("start-timeout", "SECONDS", "limit until its API answers (default 10)")
      .value("caller", "PID", "end if PID is not the parent")
      .flag("detach", "return once it is started; it lives on");
}

fc::VmmRequest read_start_options(const base::ParsedOptions& parsed) {
  fc::VmmRequest request;
  request.program = parsed.value_or("firecracker", request.program);
  request.arguments = parsed.values("arg");
  request.netns = parsed.value("netns");
  request.start_timeout =
      std::chrono::milliseconds(parsed.seconds_as_ms("start-timeout", kStartTimeoutMs));
  return request;
}

void close_inherited_descriptors(std::optional<int> lock_fd) {
  std::vector<int> kept;
  for (const std::optional<int>& fd : {fc::error_descriptor(), lock_fd}) {
    if (fd && *fd > STDERR_FILENO) {
      kept.push_back(*fd);
    }
  }
  std::ranges::sort(kept);
  unsigned first = STDERR_FILENO + 1;
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number > first) {
      ::syscall(SYS_close_range, first, number - 1, 0);
    }
    first = number + 1;
  }
  ::syscall(SYS_close_range, first, ~0U, 0);
}

// The statuses of the VMM use the same range as those of a failed system call.
int start(const base::ParsedOptions& parsed, const fc::VmmRequest& request,
          const fc::SnapshotLoad* load) {
  const auto caller = static_cast<pid_t>(
      parsed.number("caller", 1, std::numeric_limits<pid_t>::max(), ::getppid()));
  try {
    return parsed.has("detach") ? detach(request, load)
                                : fc::supervise(request, {.caller = caller, .load = load});
  } catch (const std::system_error& error) {
    throw base::Error(base::ExitCode::wrapper, error.what());
  }
}

}  // namespace launch
