// SPDX-License-Identifier: Apache-2.0
// Lists the holders and waiters of a lock from /proc.
#include "store/id_lock_holders.h"

#include <sys/stat.h>

#include <algorithm>
#include <iterator>

#include "base/open_files.h"
#include "base/process.h"
#include "store/id_lock_file.h"

namespace store {
namespace {

// Returns the processes that hold a flock on the file at `path`, one record per process.
std::vector<LockHolder> holders_of(const std::string& path) {
  std::vector<LockHolder> holders;
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) {
    return holders;
  }
  for (const base::OpenFile& open : base::find_open_files(file)) {
    const std::optional<HeldLock> held = lock_in_fdinfo(open.fdinfo);
    if (held && (holders.empty() || holders.back().pid != open.pid)) {
      holders.push_back({.pid = open.pid,
                         .name = base::process_name(open.pid),
                         .mode = held->mode,
                         .since_ms = held->since_ms,
                         .orphaned_by = held->taker});
    }
  }
  // A holder that took the lock itself has not orphaned another holder.
  for (LockHolder& holder : holders) {
    if (std::ranges::find(holders, holder.orphaned_by, &LockHolder::pid) != holders.end()) {
      holder.orphaned_by = 0;
    }
  }
  return holders;
}

// Returns "4711 (cp), 4712 (tail, orphaned by 4710), ...". The list is cut so that a message stays
// readable with hundreds of holders.
std::string list_of(const std::vector<LockHolder>& holders) {
  constexpr size_t kNamed = 5;
  std::string text;
  for (size_t i = 0; i < std::min(holders.size(), kNamed); ++i) {
    const LockHolder& holder = holders[i];
    text += (i == 0 ? "" : ", ") + std::to_string(holder.pid) + " (" + holder.name;
    text +=
        holder.orphaned_by == 0 ? ")" : ", orphaned by " + std::to_string(holder.orphaned_by) + ")";
  }
  return text + (holders.size() > kNamed ? ", ..." : "");
}

}  // namespace

std::vector<LockHolder> lock_holders(const Store& store, std::string_view id) {
  struct stat file {};
  const bool exists = ::stat(lock_path(store, id).c_str(), &file) == 0;
  std::vector<LockHolder> holders = holders_of(lock_path(store, id));
  if (!exists || !is_checked(file)) {
    // On a full disk the directory is locked in its place. Processes that check a file lock the
    // directory shared.
    std::ranges::copy_if(holders_of(store.locks_dir()), std::back_inserter(holders),
                         [](const LockHolder& h) { return h.mode == LockMode::exclusive; });
  }
  return holders;
}

std::string describe_conflict(const Store& store, std::string_view id) {
  const std::vector<LockHolder> holders = lock_holders(store, id);
  const std::vector<LockHolder> waiters = holders_of(gate_path(store, id));
  if (holders.empty() && !waiters.empty()) {
    // A waiter for the exclusive lock keeps the gate, and a stopped waiter keeps it until it
    // continues.
    return "no visible process holds it, but " + list_of(waiters) + " waits for it before others" +
           (base::process_is_stopped(waiters.front().pid)
                ? " and is stopped; continue it (kill -CONT " +
                      std::to_string(waiters.front().pid) + ") or end it"
                : "");
  }
  std::string text = "held by a process that cannot be seen";
  if (!holders.empty()) {
    const bool exclusive = holders.front().mode == LockMode::exclusive;
    text = (exclusive ? "held exclusively by " : "held shared by ") + list_of(holders);
  }
  return waiters.empty() ? text : text + ", awaited by " + list_of(waiters);
}

}  // namespace store
