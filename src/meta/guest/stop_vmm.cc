// SPDX-License-Identifier: Apache-2.0
// Sends SIGTERM, then SIGKILL, through pidfds whose start times match.
#include "meta/guest/stop_vmm.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "base/process.h"
#include "meta/guest/guest_vmm.h"

namespace meta {
namespace {

// A process in the kernel, for instance in a write to a slow disk, ends late.
constexpr std::chrono::seconds kKillLimit{5};

struct Target {
  base::Fd pidfd;
  pid_t pid;
};

// The pidfd is opened before the start time is read, so the pid cannot be reused in between.
std::vector<Target> open_targets(const std::vector<base::ProcessIdentity>& processes) {
  std::vector<Target> targets;
  for (const base::ProcessIdentity& process : processes) {
    std::optional<base::Fd> pidfd = base::open_pidfd(process.pid);
    if (pidfd && base::process_start_time(process.pid) == process.start_time) {
      targets.push_back({.pidfd = *std::move(pidfd), .pid = process.pid});
    }
  }
  return targets;
}

void send(const std::vector<Target>& targets, int signal) {
  for (const Target& target : targets) {
    if (::syscall(SYS_pidfd_send_signal, target.pidfd.get(), signal, nullptr, 0) != 0 &&
        errno != ESRCH) {
      base::throw_errno("cannot signal process " + std::to_string(target.pid));
    }
  }
}

// Whether all targets end before the deadline.
bool all_end(const std::vector<Target>& targets, const base::Deadline& deadline) {
  for (const Target& target : targets) {
    struct pollfd exit {
      .fd = target.pidfd.get(), .events = POLLIN, .revents = 0
    };
    while (::poll(&exit, 1, deadline.poll_timeout()) <= 0) {
      if (deadline.passed()) {
        return false;
      }
    }
  }
  return true;
}

// The current VMM of `id`. Its metadata may be damaged.
std::optional<LiveVmm> find_vmm(const store::Store& store, const std::string& id) {
  VmmFinder finder(store);
  try {
    return finder.find(id, Metadata::of_guest(store, id));
  } catch (const base::BadData&) {
    return finder.find_without_metadata(id);
  }
}

}  // namespace

void stop_vmm(const store::Store& store, const std::string& id, const StopLimits& limits,
              base::Effect effect) {
  require_guest(store, id);
  VmmFinder finder(store);
  const std::vector<Target> targets =
      open_targets(finder.certain_processes(id, recorded_vmm_of_guest(store, id)));
  for (const Target& target : targets) {
    base::say_detail((base::is_dry_run(effect) ? "would end " : "ending ") +
                     process_text(target.pid));
  }
  if (base::is_dry_run(effect) && !targets.empty()) {
    return;
  }
  const char* const what = "cannot stop ";
  if (!all_end(targets, base::Deadline::after(limits.alone))) {
    send(targets, SIGTERM);
  }
  if (!all_end(targets, base::Deadline::after(limits.signal))) {
    send(targets, SIGKILL);
    if (!all_end(targets, base::Deadline::after(kKillLimit))) {
      base::throw_error_number(ETIMEDOUT,
                               what + base::quoted(id) + ": its VMM did not end after SIGKILL");
    }
  }
  if (const std::optional<LiveVmm> vmm = find_vmm(store, id)) {
    throw base::Refused(what + base::quoted(id) + ": " + vmm->reason +
                        ", but it is not certain that this process is the VMM; end it yourself");
  }
}

}  // namespace meta
