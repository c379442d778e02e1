// SPDX-License-Identifier: Apache-2.0
// Finds states that name the files of the guest in another store, as after this store was moved.
#include <exception>
#include <string>

#include "base/effect.h"
#include "meta/flows/own_paths.h"
#include "meta/fsck/fsck_candidate.h"
#include "meta/guest/guest.h"
#include "store/files.h"
#include "store/run_dir.h"

namespace meta {
namespace {

// check_metadata reports a guest whose metadata cannot be read.
bool is_misplaced(const store::Store& store, const std::string& id) {
  try {
    return is_guest(store, id) && names_another_store(store, id);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

void check_paths(const FsckRun& run) {
  const store::Store& store = run.store();
  for (const std::string& id : list_guests(store)) {
    if (!is_misplaced(store, id)) {
      continue;
    }
    run.resolve({.problem = "other_store",
                 .id = id,
                 .path = store.state_path(id),
                 .text = "it names the files of this guest in another store",
                 .locks = exclusively(id),
                 .is_present = [&] { return is_misplaced(store, id); },
                 .repair =
                     [&] {
                       own_paths_locked(store, id, store::find_vsock_dir(), {}, base::Effect::real);
                       return "rewritten to name those in this store";
                     }});
  }
}

}  // namespace meta
