// SPDX-License-Identifier: Apache-2.0
// Collects the facts of a run. Only own_paths writes.
#include "meta/flows/run_prepare.h"

#include "base/file_status.h"
#include "meta/flows/run_begin.h"
#include "meta/flows/vmm_leftovers.h"
#include "meta/guest/metadata.h"
#include "meta/guest/metadata_update.h"
#include "meta/image/template_lists.h"
#include "meta/vmstate/vmstate.h"
#include "store/files.h"
#include "store/session_name.h"

namespace meta {
namespace {

std::optional<std::string> hot_list_of(const store::Store& store, const Metadata& metadata) {
  const std::string parent = metadata.fork_of_template();
  if (!store::is_valid_id(parent)) {
    return std::nullopt;
  }
  return list_of_template(store, parent);
}

// The search for the devices takes a millisecond.
vmstate::VmState read_state(const std::string& path) {
  const std::string bytes = vmstate::read_vmstate_file(path);
  vmstate::VmState state = vmstate::parse_vmstate(bytes, path);
  vmstate::read_devices(bytes, state);
  return state;
}

void choose_next_backend(RunPreparation& run, const store::Store& store, const std::string& id,
                         const Metadata& metadata) {
  run.backend = choose_backend(store, id, "auto");
  if (run.backend.backend == Backend::uffd || !metadata.flag("FirecrackerUseUFFDOnNextRestore")) {
    return;
  }
  if (metadata.number("HypervisorPID")) {
    run.first_load_is_unsure = true;
  } else {
    run.backend = {.backend = Backend::uffd, .reason = "it is its first load"};
  }
}

bool has_links(const std::string& path) {
  const std::optional<struct stat> st = base::try_lstat_path(path);
  return st && st->st_nlink > 1;
}

}  // namespace

RunPreparation prepare_run(const store::Store& store, const std::string& id,
                           const RunPrepareRequest& request, base::Effect effect) {
  require_guest(store, id);
  std::optional<store::GuestLocks> lock;
  std::optional<MetadataUpdate> update;
  if (effect == base::Effect::real) {
    lock.emplace(store, id);
    update.emplace(store, id);
  }
  const Metadata metadata = Metadata::of_guest(store, id);
  require_runnable(derive_state(store, id, metadata), id, metadata.is_template(), request.force);
  RunPreparation run;
  run.session = store::session_name(id, store.guest_dir(id));
  run.paths = own_paths_locked(store, id, request.vsock_dir, request.taps, effect);
  if (!run.paths.changes.empty()) {
    run.paths.state = read_state(store.state_path(id));
  }
  run.taps =
      used_taps(chosen_taps(metadata, request.taps), run.paths.state, "cannot load '" + id + "'");
  choose_next_backend(run, store, id, metadata);
  if (request.in_jail && has_links(store.memory_path(id))) {
    run.first_load_is_unsure = false;
    run.backend = {.backend = Backend::uffd, .reason = "its memory has other names"};
  }
  run.hot_list = hot_list_of(store, metadata);
  if (effect == base::Effect::real) {
    // Of a guest of this id that another program removed. A VMM that runs keeps its directory.
    for (const VmmLeftover& leftover : find_vmm_leftovers(store, id)) {
      remove_vmm_leftover(leftover.path);
    }
  }
  return run;
}

}  // namespace meta
