// SPDX-License-Identifier: Apache-2.0
#include "store/id_lock_holders.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/open_files.h"
#include "base/process.h"
#include "store/id_lock_file.h"

namespace store {
namespace {

// Who holds a flock on the file of that name, one record a process.
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
                         .left_behind_by = held->taker});
    }
  }
  // Who is among the holders has not left anybody behind.
  for (LockHolder& holder : holders) {
    if (std::ranges::find(holders, holder.left_behind_by, &LockHolder::pid) != holders.end()) {
      holder.left_behind_by = 0;
    }
  }
  return holders;
}

// "4711 (cp), 4712 (tail, left behind by 4710), ...": a message stays readable with hundreds.
std::string list_of(const std::vector<LockHolder>& holders) {
  constexpr size_t kNamed = 5;
  std::string text;
  for (size_t i = 0; i < std::min(holders.size(), kNamed); ++i) {
    const LockHolder& holder = holders[i];
    text += (i == 0 ? "" : ", ") + std::to_string(holder.pid) + " (" + holder.name;
    text += holder.left_behind_by == 0
                ? ")"
                : ", left behind by " + std::to_string(holder.left_behind_by) + ")";
  }
  return text + (holders.size() > kNamed ? ", ..." : "");
}

}  // namespace

std::vector<LockHolder> lock_holders(const Store& store, std::string_view id) {
  struct stat file {};
  if (::stat(lock_path(store, id).c_str(), &file) == 0) {
    return holders_of(lock_path(store, id));
  }
  // A process that could not make it has locked the directory; those that make one now hold it
  // shared.
  std::vector<LockHolder> holders = holders_of(store.locks_dir());
  std::erase_if(holders, [](const LockHolder& h) { return h.mode == LockMode::shared; });
  return holders;
}

std::string describe_conflict(const Store& store, std::string_view id) {
  const std::vector<LockHolder> holders = lock_holders(store, id);
  const std::vector<LockHolder> waiters = holders_of(gate_path(store, id));
  if (holders.empty() && !waiters.empty()) {
    // A waiter for the exclusive lock keeps the gate, and one that is stopped keeps it forever.
    return "nobody is seen to hold it, but " + list_of(waiters) + " waits for it before others" +
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
