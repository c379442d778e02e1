// SPDX-License-Identifier: Apache-2.0
// Reads /proc/PID: start times, names, states.
#include "base/process.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.h"
#include "base/number.h"

namespace base {
namespace {

// Returns the pid of a process in /proc; 0 if it has ended or is not visible there. The fdinfo of a
// pidfd has the pid in the PID namespace of /proc.
pid_t number_in_proc(pid_t pid) {
  static const bool is_ours = proc_is_ours();
  if (is_ours) {
    return pid;
  }
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  std::optional<pid_t> number;
  if (pidfd) {
    constexpr std::string_view kKey = "\nPid:\t";
    constexpr size_t kMaxFdinfo = 4096;
    const std::string info =
        read_file("/proc/self/fdinfo/" + std::to_string(pidfd.get()), kMaxFdinfo);
    const size_t at = info.find(kKey);
    if (at != std::string::npos) {
      std::string_view rest = std::string_view(info).substr(at + kKey.size());
      number = take_number<pid_t>(rest);
    }
  }
  return std::max<pid_t>(number.value_or(0), 0);
}

// Returns the contents of /proc/PID/NAME, or nothing if the process has ended.
std::optional<std::string> read_proc(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(number_in_proc(pid)) + "/" + name;
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return std::nullopt;
  }
  try {
    return read_all(fd.get(), 1 << 20, name);
  } catch (const std::exception&) {
    return std::nullopt;  // ESRCH: the process ended between open and read
  }
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);
}

bool is_interpreter(std::string_view name) {
  return name == "bash" || name == "sh" || name == "dash" || name.starts_with("python");
}

// Returns the number in field `fields` after the first of a line with one space between fields.
std::optional<uint64_t> number_after(std::string_view line, int fields) {
  for (; fields > 0; --fields) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) {
      return std::nullopt;
    }
    line.remove_prefix(space + 1);
  }
  return take_number<uint64_t>(line);
}

}  // namespace

bool proc_is_ours() {
  std::array<char, 32> self{};
  const ssize_t length = ::readlink("/proc/self", self.data(), self.size());
  return length > 0 &&
         std::string_view(self.data(), static_cast<size_t>(length)) == std::to_string(::getpid());
}

std::optional<uint64_t> process_start_time(pid_t pid) {
  if (pid <= 0) {
    return std::nullopt;
  }
  const std::optional<std::string> stat = read_proc(pid, "stat");
  // The command (field 2) may contain spaces and parentheses: count from the last parenthesis.
  const size_t bracket = stat ? stat->rfind(')') : std::string::npos;
  if (bracket == std::string::npos || bracket + 2 >= stat->size()) {
    return std::nullopt;
  }
  const std::string_view from_state = std::string_view(*stat).substr(bracket + 2);
  // A killed process is shown as a zombie as soon as its first thread has ended. The others may
  // still hold its descriptors and locks; the last one takes them along.
  constexpr int kStateToThreads = 17;  // from field 3 (state) to field 20 (num_threads)
  const char state = from_state.front();
  if (state == 'X' ||
      (state == 'Z' && number_after(from_state, kStateToThreads).value_or(2) <= 1)) {
    return std::nullopt;
  }
  constexpr int kStateToStartTime = 19;  // to field 22
  return number_after(from_state, kStateToStartTime);
}

bool process_is_stopped(pid_t pid) {
  const std::optional<std::string> stat = read_proc(pid, "stat");
  const size_t bracket = stat ? stat->rfind(')') : std::string::npos;
  return bracket != std::string::npos && bracket + 2 < stat->size() &&
         ((*stat)[bracket + 2] == 'T' || (*stat)[bracket + 2] == 't');
}

std::optional<Fd> open_pidfd(pid_t pid) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // close-on-exec by definition
  if (!fd) {
    if (errno == ESRCH) {
      return std::nullopt;
    }
    throw_errno("cannot watch process " + std::to_string(pid));
  }
  return fd;
}

std::string process_command_line(pid_t pid) {
  std::optional<std::string> line = read_proc(pid, "cmdline");
  while (line && !line->empty() && line->back() == '\0') {
    line->pop_back();
  }
  if (line && !line->empty() && line->front() != '\0') {
    std::ranges::replace(*line, '\0', ' ');
    return *line;
  }
  // Kernel threads and zombies have no command line; a program may have cleared its own.
  line = read_proc(pid, "comm");
  return line && !line->empty() ? line->substr(0, line->find('\n')) : "?";
}

std::string process_name(pid_t pid) {
  const std::optional<std::string> line = read_proc(pid, "cmdline");
  if (!line || line->empty() || line->front() == '\0') {
    return process_command_line(pid);
  }
  const std::string_view words(*line);
  const std::string_view first = words.substr(0, words.find('\0'));
  const std::string_view rest = words.substr(std::min(first.size() + 1, words.size()));
  const std::string_view second = rest.substr(0, rest.find('\0'));
  const bool is_script = is_interpreter(base_name(first)) && !second.empty() && second[0] != '-';
  return std::string(is_script ? base_name(second) : first);
}

}  // namespace base
