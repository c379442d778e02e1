// SPDX-License-Identifier: Apache-2.0
// Records the VMM of a guest at the start of a run.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/effect.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/guest_vmm.h"
#include "store/store.h"

namespace meta {

// Throws base::Refused if the guest is Running, a template, or not in Standby (or Stale with
// Force::yes).
void require_runnable(const GuestState& state, const std::string& id, bool is_template,
                      Force force);

struct RunRequest {
  pid_t pid = 0;             // the process that becomes or starts the VMM
  std::string api_socket{};  // of the VMM; empty if it is not known
  Force force = Force::no;   // if yes, the guest may be Stale
  // no: prepare_run has searched, and the guest's lock has been held since.
  SearchProc search = SearchProc::yes;
};

// Records the process as the guest's VMM, under the guest's exclusive lock. The guest is Running
// before the lock is released, so neither a second run nor a delete can come in between. The record
// is not durable, because no VMM survives the power cut that removes it; the metadata stay whole.
// Warns if the snapshot was made on another CPU or kernel (host_differences).
//
// Throws what require_runnable throws, and base::Refused if the process has ended.
void begin_run(const store::Store& store, const std::string& id, const RunRequest& request,
               base::Effect effect);

}  // namespace meta
