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
#include "base/id_lock_file.h"
#include "base/id_lock_holders.h"
#include "base/open_files.h"

namespace base {
namespace {

// How long a caller that will not wait bears with the gate, which others hold for microseconds.
constexpr std::chrono::milliseconds kGatePatience{50};

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
    throw Unsupported("cannot lock " + base::quoted(path) + ": this filesystem has no locks");
  }
  if (errno != EWOULDBLOCK && errno != EINTR) {
    throw_errno("cannot lock " + base::quoted(path));
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
      throw_errno("cannot lock " + base::quoted(path));
    }
  }
  return false;
}

// O_NONBLOCK: opening a fifo in its place must not block.
constexpr int kLockFileFlags = O_RDONLY | O_NONBLOCK;

// Creates the file, and when that fails the layout, because both nearly always exist.
Fd open_lock_file(const Store& store, const std::string& path) {
  if (std::optional<Fd> fd = store.try_open_below(path, kLockFileFlags)) {
    return std::move(*fd);
  }
  store.create_layout();
  return store.open_below(path, kLockFileFlags | O_CREAT, 0600);
}

// Whether the path still names the file that was locked.
bool is_current(int fd, const std::string& path) {
  struct stat locked {};
  struct stat named {};
  return ::fstat(fd, &locked) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         is_same_file(locked, named);
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
      note_time(fd.get());
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
    if (const std::optional<HeldLock> held = lock_in_fdinfo(own_fdinfo(fd, wanted))) {
      return held->mode;
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
    struct stat file {};
    if (is_valid_id(name) && ::stat(lock_path(store, name).c_str(), &file) == 0 &&
        lock_in_fdinfo(own_fdinfo(fd, file))) {
      ids.emplace_back(name);
    }
  }
  std::ranges::sort(ids);
  return ids;
}

void close_inherited_locks() {
  for (const int fd : listed_fds()) {
    // Only what is a lock: the variable may be older than the descriptors.
    struct stat file {};
    if (fd > STDERR_FILENO && ::fstat(fd, &file) == 0 && lock_in_fdinfo(own_fdinfo(fd, file))) {
      ::close(fd);
    }
  }
  ::unsetenv("SNAPFORK_LOCK_FD");
}

std::string last_inherited_id(const Store& store) {
  const std::vector<std::string> ids = inherited_ids(store);
  return ids.empty() ? "" : ids.back();
}

std::optional<IdLock> require_lock(const Store& store, std::string_view id, LockMode mode,
                                   const Deadline& deadline) {
  if (const std::optional<LockMode> inherited = inherited_lock(store, id)) {
    if (*inherited == LockMode::shared && mode == LockMode::exclusive) {
      throw Refused("cannot change " + base::quoted(id) +
                    ": the inherited lock is shared; start under template-lock --exclusive");
    }
    return std::nullopt;
  }
  const std::string held = last_inherited_id(store);
  const bool waits = held < id;
  std::optional<IdLock> lock = IdLock::acquire(
      store, id, mode, waits ? deadline : Deadline::after(std::chrono::milliseconds(0)));
  if (!lock) {
    throw Refused("cannot lock " + base::quoted(id) + ": " + describe_conflict(store, id) +
                  (waits ? "; wait for it to end" : "; " + why_not_waited_for(held)));
  }
  return lock;
}

std::string why_not_waited_for(std::string_view held) {
  return "not waited for, since the lock on " + base::quoted(held) +
         " is held already; take both in one call of template-lock";
}

bool wait_until_free(const Store& store, std::string_view id, const Deadline& deadline) {
  check_id(id);
  const std::string path = lock_path(store, id);
  // Without the gate: who only looks on must not keep anybody out.
  while (const std::optional<Fd> fd = store.try_open_below(path, kLockFileFlags)) {
    if (!lock_file(fd->get(), LOCK_EX, deadline, path)) {
      return false;
    }
    if (is_current(fd->get(), path)) {
      break;
    }
  }
  return true;
}

}  // namespace base
