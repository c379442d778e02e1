// SPDX-License-Identifier: Apache-2.0
// The holders of the lock on an id: for messages and people, never for a decision.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/id_lock.h"
#include "store/store.h"

namespace store {

// A process that has a lock file open and locked.
struct LockHolder {
  pid_t pid = 0;
  std::string name;  // process_name
  LockMode mode = LockMode::shared;
  std::optional<int64_t> since_ms;  // when the lock was taken, in ms since 1970; only known if a
                                    // program of the suite took it
  // The process that took the lock and no longer has it, because it ended or closed it before
  // this process, which inherited the lock; 0 if there is none.
  pid_t orphaned_by = 0;
};

// Returns the holders of the lock on `id` now, one record per process, from /proc. Root sees all
// processes; another user sees only their own. Processes may come and go during the scan.
std::vector<LockHolder> lock_holders(const Store& store, std::string_view id);
// Returns why a lock is not available: "held exclusively by 4711 (snapfork)", "held shared by 4711
// (cp), 4712 (cp, orphaned by 4710), awaited by 4713 (template-lock)" or "held by a process that
// cannot be seen".
std::string describe_conflict(const Store& store, std::string_view id);

}  // namespace store
