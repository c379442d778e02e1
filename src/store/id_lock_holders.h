// SPDX-License-Identifier: Apache-2.0
// Who holds the lock on an id: for messages and people, never for a decision.
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
  std::optional<int64_t>
      since_ms;  // when the lock was taken, after 1970; not known of foreign ones
  // Who took the lock and has it no more, having ended (or closed it) before this process, which
  // had inherited it; 0 for none.
  pid_t left_behind_by = 0;
};

// Who holds the lock on `id` now, one record a process, from /proc (processes of other users only
// when root). Somebody may come or go meanwhile.
std::vector<LockHolder> lock_holders(const Store& store, std::string_view id);
// Why a lock could not be had: "held exclusively by 4711 (snapfork)", "held shared by 4711 (cp),
// 4712 (cp, left behind by 4710), awaited by 4713 (template-lock)" or "held by a process that
// cannot be seen".
std::string describe_conflict(const Store& store, std::string_view id);

}  // namespace store
