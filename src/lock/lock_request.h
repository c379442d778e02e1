// SPDX-License-Identifier: Apache-2.0
// The command line of the wrapper: which locks, how, and for how long they are waited for.
#pragma once

#include <optional>
#include <vector>

#include "base/deadline.h"
#include "lock/lock_set.h"

namespace lock {

struct LockRequest {
  std::vector<WantedLock> locks;
  base::Deadline deadline = base::Deadline::never();  // of all that are waited for
  int conflict_status = 1;
  bool dry_run = false;      // only look whether they could be taken now
  int failure_status = 125;  // of what is neither a conflict nor the command
};

// `argv` up to the "--". --shared and --exclusive apply to the ids after them, up to the next of
// the two; without one the lock is exclusive; where none of them stands before an id, a single one
// may stand after all of them. --no-wait applies to all ids when it stands before the first mode
// option and id, else to those of the same mode option. Nothing when --help or --version has been
// answered; throws base::UsageError.
std::optional<LockRequest> parse_lock_request(int argc, char** argv);

}  // namespace lock
