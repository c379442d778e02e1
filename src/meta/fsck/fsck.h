// SPDX-License-Identifier: Apache-2.0
// Finds and repairs leftovers of killed programs, and differences between fork indexes and forks.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "base/effect.h"
#include "store/store.h"

namespace meta {

enum class Outcome {
  found,     // not changed, because this is a dry run
  repaired,  // the problem no longer exists
  busy,      // another process holds a lock on the id, so it may not be a problem
  left,      // fsck cannot repair it
};
const char* outcome_name(Outcome outcome);

struct Finding {
  Outcome outcome = Outcome::found;
  std::string problem;  // one word such as "leftover" or "stale_entry"; the man page lists all
  std::string id;       // empty if the owner is not known
  std::string path;
  std::string text;  // what the problem is, and what was done or is to be done
};

// Checks the whole store and, with Effect::real, repairs what it can. Calls `report` for each
// finding. Other programs may run at the same time: each candidate is checked again and repaired
// only under the locks of its ids, which are taken without waiting. If fsck is killed, the next run
// continues. O(guests). Throws only if the store itself cannot be read.
void check_store(const store::Store& store, base::Effect effect,
                 const std::function<void(const Finding&)>& report);

}  // namespace meta
