// SPDX-License-Identifier: Apache-2.0
// Finds a recorded process across PID namespaces.
#include "base/process_identity.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/number.h"
#include "base/open_files.h"
#include "base/process.h"

namespace base {
namespace {

// PROC_PID_INIT_INO of the kernel: the namespace that contains all others.
constexpr std::string_view kInitialNamespace = "pid:[4026531836]";
constexpr size_t kMaxProcFile = size_t{1} << 16U;

// Returns nothing if the link cannot be read; errno then has the reason.
std::optional<std::string> read_link(const std::string& path) {
  std::array<char, 64> target{};
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  return length > 0 ? std::optional(std::string(target.data(), static_cast<size_t>(length)))
                    : std::nullopt;
}

std::string own_namespace() {
  return read_link("/proc/self/ns/pid").value_or("");
}

// Returns the pids of a process in its namespaces, from this one inward: the line "NSpid:" of
// /proc/PID/status, which every user may read. Empty if the process has ended.
std::vector<pid_t> numbers_of(const std::string& process) {
  std::vector<pid_t> numbers;
  try {
    const std::string status = read_file(process + "/status", kMaxProcFile);
    constexpr std::string_view kKey = "\nNSpid:";
    const size_t line = status.find(kKey);
    std::string_view rest =
        line == std::string::npos ? "" : std::string_view(status).substr(line + kKey.size());
    while (rest.starts_with('\t')) {
      rest.remove_prefix(1);
      const std::optional<pid_t> pid = take_number<pid_t>(rest);
      if (!pid) {
        break;
      }
      numbers.push_back(*pid);
    }
  } catch (const std::exception&) {
    numbers.clear();
  }
  return numbers;
}

// Finds the process with this pid in this namespace. If a start time is recorded, it must match.
FoundProcess find_here(pid_t pid, uint64_t start_time) {
  std::optional<Fd> pidfd;
  try {
    pidfd = open_pidfd(pid);
  } catch (const std::system_error& error) {
    if (error.code().value() == EINVAL || error.code().value() == ENOENT) {
      return {};  // the pid is that of a thread
    }
    return {.alive = true};
  }
  struct pollfd exited {
    .fd = pidfd ? pidfd->get() : -1, .events = POLLIN, .revents = 0
  };
  if (!pidfd || ::poll(&exited, 1, 0) > 0) {
    return {};
  }
  FoundProcess found{.alive = true, .pid = pid, .start_time = process_start_time(pid)};
  if (found.start_time && start_time != 0) {
    found.alive = found.start_time == start_time;
    found.is_certain = found.alive;
  }
  return found;
}

FoundProcess find_in_namespace(const ProcessIdentity& recorded) {
  if (!proc_is_ours()) {
    return {.alive = true};  // pids in /proc are those of another namespace
  }
  bool sees_all = own_namespace() == kInitialNamespace;
  for (const std::string& name : numeric_names("/proc")) {
    const std::string process = "/proc/" + name;
    const std::vector<pid_t> numbers = numbers_of(process);
    // A single pid: the process is in our namespace.
    if (numbers.size() < 2 || numbers.back() != recorded.pid) {
      continue;
    }
    const std::optional<std::string> link = read_link(process + "/ns/pid");
    if (!link) {
      sees_all = sees_all && (errno == ENOENT || errno == ESRCH);
    } else if (*link == recorded.pid_namespace) {
      return find_here(numbers.front(), recorded.start_time);
    }
  }
  return {.alive = !sees_all};
}

}  // namespace

std::string current_boot_id() {
  try {
    std::string id = read_file("/proc/sys/kernel/random/boot_id", kMaxProcFile);
    return id.substr(0, id.find('\n'));
  } catch (const std::exception&) {
    return "";
  }
}

ProcessIdentity identify_process(pid_t pid) {
  const std::optional<uint64_t> start_time = process_start_time(pid);
  if (!start_time && !find_here(pid, 0).alive) {
    throw Refused("cannot identify process " + std::to_string(pid) + ": it has ended");
  }
  return {.pid = pid,
          .start_time = start_time.value_or(0),
          .boot_id = current_boot_id(),
          .pid_namespace = own_namespace()};
}

FoundProcess find_process(const ProcessIdentity& recorded) {
  if (recorded.pid <= 0) {
    return {};
  }
  const std::string boot_id = current_boot_id();
  if (!recorded.boot_id.empty() && !boot_id.empty() && recorded.boot_id != boot_id) {
    return {};
  }
  const std::string here = own_namespace();
  if (!recorded.pid_namespace.empty() && !here.empty() && recorded.pid_namespace != here) {
    return find_in_namespace(recorded);
  }
  return find_here(recorded.pid, recorded.start_time);
}

}  // namespace base
