// SPDX-License-Identifier: Apache-2.0
// Checks that a guest can run, and finds all that starting its VMM needs, in one call.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/effect.h"
#include "meta/flows/backend.h"
#include "meta/flows/own_paths.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/taps.h"
#include "store/store.h"

namespace meta {

struct RunPreparation {
  std::string session;        // its name at the page server, and of its VMM's directory
  OwnPaths paths;             // what loading it opens
  std::vector<TapName> taps;  // those that it will use
  BackendChoice backend;      // of the next load
  // The guest was made for the page server and has had a VMM. The next load also uses the page
  // server if that VMM loaded nothing: then its session still waits there.
  bool first_load_is_unsure = false;
  std::optional<std::string> hot_list;  // of its template, if there is one
};

struct RunPrepareRequest {
  std::string vsock_dir;      // as in own_paths
  std::vector<TapName> taps;  // replace the recorded ones of the same interfaces
  Force force = Force::no;    // if yes, the guest may be Stale
  // A jail is given only files that have no other name, so linked memory needs the page server.
  bool in_jail = false;
};

// Makes the state name the guest's own files (own_paths), under the guest's exclusive lock. Throws
// base::Refused if the guest cannot run (require_runnable in run_begin.h), and what own_paths and
// used_taps throw.
RunPreparation prepare_run(const store::Store& store, const std::string& id,
                           const RunPrepareRequest& request, base::Effect effect);

}  // namespace meta
