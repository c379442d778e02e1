// SPDX-License-Identifier: Apache-2.0
// Checks that the guest can run, and records its VMM under the exclusive lock.
#include "meta/flows/run_begin.h"

#include "base/effect.h"
#include "base/error.h"
#include "base/message.h"
#include "base/process_identity.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/host_record.h"
#include "meta/guest/metadata.h"
#include "meta/guest/metadata_update.h"
#include "meta/guest/recorded_vmm.h"

namespace meta {
namespace {

void warn_of_other_host(const std::string& id, const Metadata& metadata) {
  for (const std::string& text : host_differences(metadata, this_host())) {
    base::say_warning(base::quoted(id) + ": " + text);
  }
}

}  // namespace

void require_runnable(const GuestState& state, const std::string& id, bool is_template,
                      Force force) {
  const std::string what = "cannot run " + base::quoted(id) + ": ";
  if (state.state == State::running) {
    throw base::Refused(what + "it is already Running: " + state.reason);
  }
  if (is_template) {
    throw base::Refused(what + "it is a template; fork it, or demote it first");
  }
  require_whole_snapshot(state, id, "run", force);
}

void begin_run(const store::Store& store, const std::string& id, const RunRequest& request,
               base::Effect effect) {
  const auto record = [&](Metadata& metadata) {
    VmmFinder finder(store, request.search);
    const GuestState state = derive_state(store, id, metadata, finder);
    require_runnable(state, id, metadata.is_template(), request.force);
    warn_of_other_host(id, metadata);
    record_vmm(metadata, base::identify_process(request.pid), request.api_socket);
  };
  change_metadata(store, id, effect, record, base::Durable::whole);
}

}  // namespace meta
