// SPDX-License-Identifier: Apache-2.0
// The command line of the wrapper: the locks, their modes, and how long to wait for them.
#pragma once

#include <optional>
#include <vector>

#include "base/deadline.h"
#include "base/effect.h"
#include "lock/lock_set.h"

namespace lock {

struct LockRequest {
  std::vector<WantedLock> locks;
  base::Deadline deadline = base::Deadline::never();  // for all locks that are waited for
  int conflict_status = 1;
  base::Effect effect = base::Effect::real;  // dry_run: only check whether the locks are free now
  int failure_status = 125;                  // if neither a lock conflict nor the command ends it
  bool for_caller = false;                   // --fd: each lock has a descriptor of the caller
};

// Parses `argv` up to the "--". --shared and --exclusive apply to the ids after them, up to the
// next such option. Ids without one are locked exclusively. If none of the two stands before an id,
// a single one may follow all ids. --no-wait applies to all ids if it stands before the first mode
// option and id, else to the ids of its mode option. --fd applies to the one id after it; if it is
// given, each id needs one. Returns nothing if it has printed --help or
// --version. Throws base::UsageError.
std::optional<LockRequest> parse_lock_request(int argc, char** argv);

}  // namespace lock
