#include "base/id_lock.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "base/error.h"
#include "base/open_files.h"
#include "base/process.h"

namespace base {
namespace {

// How long a caller that will not wait bears with the gate, which others hold for microseconds.
constexpr std::chrono::milliseconds kGatePatience{50};

constexpr std::string_view kLockSuffix = ".lock";

std::string lock_path(const Store& store, std::string_view id) {
  return store.locks_dir() + "/" + std::string(id) + std::string(kLockSuffix);
}

std::string gate_path(const Store& store, std::string_view id) {
  return store.locks_dir() + "/" + std::string(id) + ".gate";
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
    sigset_t alarm;
    ::sigemptyset(&alarm);
    ::sigaddset(&alarm, SIGALRM);
    ::pthread_sigmask(SIG_UNBLOCK, &alarm, &old_mask_);  // who started us may have blocked it
    struct sigevent event {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGALRM;
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) {
      const int error = errno;
      restore_signals();
      throw_error_number(error, "cannot create a timer");
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
      restore_signals();
    }
  }
  WakeAfter(const WakeAfter&) = delete;
  WakeAfter(WakeAfter&&) = delete;
  WakeAfter& operator=(const WakeAfter&) = delete;
  WakeAfter& operator=(WakeAfter&&) = delete;

 private:
  void restore_signals() {
    ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
    ::sigaction(SIGALRM, &old_action_, nullptr);
  }

  bool armed_ = false;
  timer_t timer_{};
  sigset_t old_mask_{};
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

// O_NONBLOCK: a fifo in its place must not hang anybody.
constexpr int kLockFileFlags = O_RDONLY | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;

// The layout is made only when the file cannot be: nearly always it is there.
Fd open_lock_file(const Store& store, const std::string& path) {
  Fd fd(::open(path.c_str(), kLockFileFlags, 0600));
  if (fd || errno != ENOENT) {
    if (!fd) {
      throw_errno("cannot open " + quoted(path));
    }
    return fd;
  }
  store.create_layout();
  return open_file(path, kLockFileFlags, 0600);
}

// Whether the path still names the file that was locked.
bool is_current(int fd, const std::string& path) {
  struct stat locked {};
  struct stat named {};
  return ::fstat(fd, &locked) == 0 && ::stat(path.c_str(), &named) == 0 &&
         is_same_file(locked, named);
}

// The flock mode that fdinfo shows ("lock:\t1: FLOCK  ADVISORY  WRITE ..."); nothing for none. The
// kernel lists there what is held through this open file description, not what is waited for.
std::optional<LockMode> mode_in_fdinfo(std::string_view text) {
  const size_t line = text.find("FLOCK");
  if (line == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view rest = text.substr(line, text.find('\n', line) - line);
  return rest.find("WRITE") != std::string_view::npos ? LockMode::exclusive : LockMode::shared;
}

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

// The numbers in SNAPFORK_LOCK_FD, without what is no number.
std::vector<int> listed_fds() {
  const char* list = std::getenv("SNAPFORK_LOCK_FD");
  std::vector<int> fds;
  for (std::string_view rest = list != nullptr ? list : ""; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (const std::optional<int> fd = parse_number(rest.substr(0, comma))) {
      fds.push_back(*fd);
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return fds;
}

// Who holds a flock on the file of that name, one record a process.
std::vector<LockHolder> holders_of(const std::string& path) {
  std::vector<LockHolder> holders;
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) {
    return holders;
  }
  for (const OpenFile& open : find_open_files(file)) {
    const std::optional<LockMode> mode = mode_in_fdinfo(open.fdinfo);
    if (mode && (holders.empty() || holders.back().pid != open.pid)) {
      holders.push_back({.pid = open.pid, .name = process_name(open.pid), .mode = *mode});
    }
  }
  return holders;
}

// "4711 (cp), 4712 (cp), ...": a message stays readable with hundreds of them.
std::string list_of(const std::vector<LockHolder>& holders) {
  constexpr size_t kNamed = 5;
  std::string text;
  for (size_t i = 0; i < std::min(holders.size(), kNamed); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(holders[i].pid) + " (" + holders[i].name + ")";
  }
  return text + (holders.size() > kNamed ? ", ..." : "");
}

}  // namespace

std::optional<IdLock> IdLock::acquire(const Store& store, std::string_view id, LockMode mode,
                                      const Deadline& deadline) {
  check_id(id);
  const std::string path = lock_path(store, id);
  const std::string gate_name = gate_path(store, id);
  const int operation = mode == LockMode::shared ? LOCK_SH : LOCK_EX;
  for (;;) {
    const Fd gate = open_lock_file(store, gate_name);
    const bool patient = !deadline.passed();
    if (!lock_file(gate.get(), LOCK_EX, patient ? deadline : Deadline::after(kGatePatience),
                   gate_name)) {
      return std::nullopt;
    }
    Fd fd = open_lock_file(store, path);
    if (!lock_file(fd.get(), operation, deadline, path)) {
      return std::nullopt;
    }
    if (is_current(fd.get(), path)) {
      return IdLock(std::move(fd));
    }
  }
}

std::optional<LockMode> inherited_lock(const Store& store, std::string_view id) {
  struct stat wanted {};
  const std::vector<int> fds = listed_fds();
  if (fds.empty() || ::stat(lock_path(store, id).c_str(), &wanted) != 0) {
    return std::nullopt;
  }
  for (const int fd : fds) {
    if (const auto mode = mode_in_fdinfo(own_fdinfo(fd, wanted))) {
      return mode;
    }
  }
  return std::nullopt;
}

std::vector<std::string> inherited_ids(const Store& store) {
  std::vector<std::string> ids;
  for (const int fd : listed_fds()) {
    std::array<char, PATH_MAX> target{};
    const ssize_t length =
        ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), target.size());
    std::string_view name(target.data(), static_cast<size_t>(std::max<ssize_t>(length, 0)));
    name.remove_prefix(name.find_last_of('/') + 1);
    name.remove_suffix(name.ends_with(kLockSuffix) ? kLockSuffix.size() : 0);
    // The name is only a hint: the store may have been reached by another path.
    if (is_valid_id(name) && inherited_lock(store, name)) {
      ids.emplace_back(name);
    }
  }
  std::ranges::sort(ids);
  return ids;
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
    throw Refused("cannot lock " + quoted(id) + ": " + describe_conflict(store, id) +
                  "; wait for it to end");
  }
  return lock;
}

std::vector<LockHolder> lock_holders(const Store& store, std::string_view id) {
  return holders_of(lock_path(store, id));
}

std::string describe_conflict(const Store& store, std::string_view id) {
  const std::vector<LockHolder> holders = lock_holders(store, id);
  const std::vector<LockHolder> waiters = holders_of(gate_path(store, id));
  std::string text = "held by a process that cannot be seen";
  if (!holders.empty()) {
    const bool exclusive = holders.front().mode == LockMode::exclusive;
    text = (exclusive ? "held exclusively by " : "held shared by ") + list_of(holders);
  }
  return waiters.empty() ? text : text + ", awaited by " + list_of(waiters);
}

}  // namespace base
