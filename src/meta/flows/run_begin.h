// SPDX-License-Identifier: Apache-2.0
// The start of a run: a guest gets a VMM.
#pragma once

#include <sys/types.h>

#include <string>

#include "meta/guest/guest_state.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

struct RunRequest {
  pid_t pid = 0;            // the process that becomes the VMM, or starts it
  Force force = Force::no;  // yes: the guest may be Stale
};

// Under the guest's exclusive lock: records the process as the guest's VMM, durably. So the guest
// is Running before the lock ends, and neither a second run nor a delete comes in between. Throws
// base::Refused unless the guest is in Standby (or Stale, with Force::yes), or when the process has
// ended.
void begin_run(const store::Store& store, const std::string& id, const RunRequest& request,
               store::Effect effect);

}  // namespace meta
