#include "base/id_lock.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "base/error.h"
#include "base/process.h"

namespace base {
namespace {

// How long a caller that will not wait bears with the gate, which others hold for microseconds.
constexpr std::chrono::milliseconds kGatePatience{50};

std::string lock_path(const Store& store, std::string_view id) {
  return store.locks_dir() + "/" + std::string(id) + ".lock";
}

// While it lives, a blocking system call of this thread ends with EINTR soon after `deadline`.
// flock(2) has no timeout, and polling for the lock would lose its place among the waiters.
class WakeAfter {
 public:
  explicit WakeAfter(const Deadline& deadline) {
    if (deadline.is_never()) {
      return;
    }
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, &old_action_);  // no SA_RESTART: that is the point
    struct sigevent event {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGALRM;
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) {
      throw_errno("cannot create a timer");
    }
    armed_ = true;
    // It repeats: a signal that arrives just before the call sleeps would otherwise be lost.
    const auto left = std::max(1, deadline.poll_timeout());
    const struct itimerspec spec {
      .it_interval = {.tv_sec = 0, .tv_nsec = 10'000'000}, .it_value = {
        .tv_sec = left / 1000,
        .tv_nsec = left % 1000 * 1'000'000L
      }
    };
    ::timer_settime(timer_, 0, &spec, nullptr);
  }
  ~WakeAfter() {
    if (armed_) {
      ::timer_delete(timer_);
      ::sigaction(SIGALRM, &old_action_, nullptr);
    }
  }
  WakeAfter(const WakeAfter&) = delete;
  WakeAfter(WakeAfter&&) = delete;
  WakeAfter& operator=(const WakeAfter&) = delete;
  WakeAfter& operator=(WakeAfter&&) = delete;

 private:
  bool armed_ = false;
  timer_t timer_{};
  struct sigaction old_action_ {};
};

// flock with a deadline: true when locked, false when others held it until then.
bool lock_file(int fd, int operation, const Deadline& deadline, const std::string& path) {
  if (::flock(fd, operation | LOCK_NB) == 0) {
    return true;
  }
  if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) {
    throw Unsupported("cannot lock " + quoted(path) + ": this filesystem has no locks");
  }
  if (errno != EWOULDBLOCK && errno != EINTR) {
    throw_errno("cannot lock " + quoted(path));
  }
  if (deadline.passed()) {
    return false;
  }
  const WakeAfter alarm(deadline);
  while (!deadline.passed()) {
    if (::flock(fd, operation) == 0) {
      return true;
    }
    if (errno != EINTR) {
      throw_errno("cannot lock " + quoted(path));
    }
  }
  return false;
}

Fd open_lock_file(const std::string& path) {
  return open_file(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_NOCTTY, 0600);
}

bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Whether the path still names the file that was locked.
bool is_current(int fd, const std::string& path) {
  struct stat locked {};
  struct stat named {};
  return ::fstat(fd, &locked) == 0 && ::stat(path.c_str(), &named) == 0 &&
         is_same_file(locked, named);
}

// The flock mode that an fdinfo file shows ("lock:\t1: FLOCK  ADVISORY  WRITE ..."); nothing for
// none.
std::optional<LockMode> mode_in_fdinfo(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return std::nullopt;
  }
  std::string text;
  try {
    text = read_all(fd.get(), 1 << 20, path);
  } catch (const std::exception&) {
    return std::nullopt;  // the process has ended
  }
  const size_t line = text.find("FLOCK");
  if (line == std::string::npos) {
    return std::nullopt;
  }
  const std::string_view rest = std::string_view(text).substr(line, text.find('\n', line) - line);
  return rest.find("WRITE") != std::string_view::npos ? LockMode::exclusive : LockMode::shared;
}

// Calls `visit(name)` for each entry of a directory; a directory that is gone has none.
template <typename Visit>
void for_each_entry(const std::string& path, const Visit& visit) {
  const auto close_dir = [](DIR* dir) { ::closedir(dir); };
  const std::unique_ptr<DIR, decltype(close_dir)> dir(::opendir(path.c_str()), close_dir);
  if (dir == nullptr) {
    return;
  }
  while (const struct dirent* entry = ::readdir(dir.get())) {
    visit(std::string_view(entry->d_name));
  }
}

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

}  // namespace

std::optional<IdLock> IdLock::acquire(const Store& store, std::string_view id, LockMode mode,
                                      const Deadline& deadline) {
  check_id(id);
  store.create_layout();
  const std::string path = lock_path(store, id);
  const std::string gate_path = store.locks_dir() + "/" + std::string(id) + ".gate";
  const int operation = mode == LockMode::shared ? LOCK_SH : LOCK_EX;
  for (;;) {
    const Fd gate = open_lock_file(gate_path);
    const bool patient = !deadline.passed();
    if (!lock_file(gate.get(), LOCK_EX, patient ? deadline : Deadline::after(kGatePatience),
                   gate_path)) {
      return std::nullopt;
    }
    Fd fd = open_lock_file(path);
    if (!lock_file(fd.get(), operation, deadline, path)) {
      return std::nullopt;
    }
    if (is_current(fd.get(), path)) {
      return IdLock(std::move(fd));
    }
  }
}

std::optional<LockMode> inherited_lock(const Store& store, std::string_view id) {
  const char* list = std::getenv("SNAPFORK_LOCK_FD");
  struct stat wanted {};
  if (list == nullptr || ::stat(lock_path(store, id).c_str(), &wanted) != 0) {
    return std::nullopt;
  }
  for (std::string_view rest = list; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::optional<int> fd = parse_number(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    struct stat st {};
    if (fd && ::fstat(*fd, &st) == 0 && is_same_file(st, wanted)) {
      if (const auto mode = mode_in_fdinfo("/proc/self/fdinfo/" + std::to_string(*fd))) {
        return mode;
      }
    }
  }
  return std::nullopt;
}

std::optional<IdLock> require_lock(const Store& store, std::string_view id, LockMode mode,
                                   const Deadline& deadline) {
  if (const std::optional<LockMode> inherited = inherited_lock(store, id)) {
    if (*inherited == LockMode::shared && mode == LockMode::exclusive) {
      throw Refused("cannot change " + quoted(id) +
                    ": the inherited lock is shared; start under template-lock --exclusive");
    }
    return std::nullopt;
  }
  std::optional<IdLock> lock = IdLock::acquire(store, id, mode, deadline);
  if (!lock) {
    throw Refused("cannot lock " + quoted(id) + ": held " +
                  describe_holders(lock_holders(store, id)) + "; wait for it to end");
  }
  return lock;
}

std::vector<LockHolder> lock_holders(const Store& store, std::string_view id) {
  std::vector<LockHolder> holders;
  struct stat wanted {};
  if (::stat(lock_path(store, id).c_str(), &wanted) != 0) {
    return holders;
  }
  for_each_entry("/proc", [&](std::string_view name) {
    const std::optional<int> pid = parse_number(name);
    if (!pid) {
      return;
    }
    const std::string process = "/proc/" + std::string(name);
    bool found = false;
    for_each_entry(process + "/fd", [&](std::string_view fd) {
      struct stat st {};
      if (found || fd.starts_with('.') ||
          ::stat((process + "/fd/" + std::string(fd)).c_str(), &st) != 0 ||
          !is_same_file(st, wanted)) {
        return;
      }
      if (const auto mode = mode_in_fdinfo(process + "/fdinfo/" + std::string(fd))) {
        holders.push_back({.pid = *pid, .name = process_name(*pid), .mode = *mode});
        found = true;
      }
    });
  });
  return holders;
}

std::string describe_holders(const std::vector<LockHolder>& holders) {
  std::string text;
  for (const LockHolder& holder : holders) {
    text += text.empty() ? "" : ", ";
    text += holder.mode == LockMode::exclusive ? "exclusively by " : "shared by ";
    text += std::to_string(holder.pid) + " (" + holder.name + ")";
  }
  return text.empty() ? "by a process that cannot be seen" : text;
}

}  // namespace base
