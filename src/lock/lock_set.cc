#include "lock/lock_set.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/message.h"

namespace lock {
namespace {

// POSIX shells give 0 to 9 to scripts and keep their own from 10 on.
constexpr int kFirstFd = 64;
// What the command may still open when it has inherited the locks.
constexpr rlim_t kHeadroom = 256;
constexpr std::chrono::milliseconds kQuietWait{1000};

// Makes room for `count` more descriptors. The command keeps the raised soft limit: it needs it.
void make_room(size_t count) {
  const rlim_t needed = kFirstFd + static_cast<rlim_t>(count) + kHeadroom;
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed) {
    limit.rlim_cur = std::min(limit.rlim_max, needed);
    ::setrlimit(RLIMIT_NOFILE, &limit);  // too small a hard limit shows when descriptors run out
  }
}

// The id that comes last among those whose locks this process has inherited; empty for none.
std::string last_inherited(const base::Store& store) {
  const std::vector<std::string> ids = base::inherited_ids(store);
  return ids.empty() ? "" : ids.back();
}

std::string refusal(const base::Store& store, const std::string& id) {
  return "cannot lock " + base::quoted(id) + ": " + base::describe_conflict(store, id);
}

base::IdLock take_one(const base::Store& store, const std::string& id, base::LockMode mode,
                      const base::Deadline& deadline) {
  const base::Deadline quiet = base::Deadline::after(kQuietWait);
  const bool patient = deadline.is_never() || deadline.poll_timeout() > quiet.poll_timeout();
  std::optional<base::IdLock> lock =
      base::IdLock::acquire(store, id, mode, patient ? quiet : deadline);
  if (!lock && patient) {
    base::say_info("waiting for " + base::quoted(id) + ": " + base::describe_conflict(store, id));
    lock = base::IdLock::acquire(store, id, mode, deadline);
  }
  if (!lock) {
    throw base::Refused(refusal(store, id) + "; wait for it to end");
  }
  return std::move(*lock);
}

// Without waiting: whoever holds `id` may wait for `held`, which we have.
base::IdLock take_out_of_order(const base::Store& store, const std::string& id, base::LockMode mode,
                               const std::string& held) {
  std::optional<base::IdLock> lock =
      base::IdLock::acquire(store, id, mode, base::Deadline::after(std::chrono::milliseconds(0)));
  if (!lock) {
    throw base::Refused(refusal(store, id) + "; not waited for, since the lock on " +
                        base::quoted(held) + " is held already; take both in one call");
  }
  return std::move(*lock);
}

base::Fd move_up(base::Fd fd) {
  base::Fd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstFd));
  if (!high) {
    base::throw_errno("cannot duplicate a lock's descriptor (see 'ulimit -Hn')");
  }
  return high;
}

}  // namespace

LockSet LockSet::take(const base::Store& store, std::vector<std::string> ids, base::LockMode mode,
                      const base::Deadline& deadline) {
  std::ranges::for_each(ids, base::check_id);
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::erase_if(ids, [&](const std::string& id) {
    const std::optional<base::LockMode> inherited = base::inherited_lock(store, id);
    if (inherited == base::LockMode::shared && mode == base::LockMode::exclusive) {
      throw base::Refused("cannot lock " + base::quoted(id) +
                          " exclusively: the inherited lock is shared; take the exclusive one from "
                          "the start");
    }
    return inherited.has_value();
  });
  make_room(ids.size());
  const std::string held = last_inherited(store);
  LockSet set;
  for (const std::string& id : ids) {
    base::IdLock lock =
        id < held ? take_out_of_order(store, id, mode, held) : take_one(store, id, mode, deadline);
    set.fds_.push_back(move_up(std::move(lock).take_fd()));
  }
  return set;
}

std::string LockSet::environment() const {
  const char* inherited = std::getenv("SNAPFORK_LOCK_FD");
  std::string list = inherited != nullptr ? inherited : "";
  for (const base::Fd& fd : fds_) {
    list += (list.empty() ? "" : ",") + std::to_string(fd.get());
  }
  return list;
}

void LockSet::keep_across_exec() const {
  for (const base::Fd& fd : fds_) {
    ::fcntl(fd.get(), F_SETFD, 0);  // the one intended leak: the command and its children hold it
  }
}

}  // namespace lock
