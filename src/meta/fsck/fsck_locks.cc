// SPDX-License-Identifier: Apache-2.0
// Removes the lock files of ids that do not exist.
#include <set>
#include <string>

#include "base/error.h"
#include "meta/flows/leftovers.h"
#include "meta/fsck/fsck_candidate.h"
#include "store/files.h"
#include "store/id_lock_file.h"
#include "store/id_lock_forget.h"

namespace meta {
namespace {

void check_files_of(const FsckRun& run, const std::string& id) {
  const store::Store& store = run.store();
  const store::LockFiles files = store::examine_lock(store, id);
  if (files == store::LockFiles::foreign) {
    run.leave("not_a_lock", id, store::lock_path(store, id),
              "this file or its gate is not an empty regular file with one link; remove it");
    return;
  }
  // A held lock belongs to a guest that is being made.
  if (files != store::LockFiles::idle || !is_unused_id(store, id)) {
    return;
  }
  run.resolve({.problem = "idle_lock",
               .id = id,
               .path = store::lock_path(store, id),
               .text = "no guest has the id of this lock",
               .locks = {},  // forget_lock takes the lock and its gate
               .is_present = [] { return true; },
               .repair =
                   [&] {
                     return store::forget_lock(store, id) == store::LockFiles::idle
                                ? "removed"
                                : "another program uses it now, so it was not removed";
                   }});
}

}  // namespace

std::set<std::string> ids_with_lock_files(const store::Store& store) {
  std::set<std::string> ids;
  for (const std::string& name :
       store::list_names(store, store.locks_dir()).value_or(std::vector<std::string>())) {
    if (const std::string_view id = store::id_of_lock_name(name); !id.empty()) {
      ids.emplace(id);
    }
  }
  return ids;
}

void check_lock_files(const FsckRun& run, const std::set<std::string>& before) {
  const store::Store& store = run.store();
  for (const std::string& name :
       store::list_names(store, store.locks_dir()).value_or(std::vector<std::string>())) {
    if (store::id_of_lock_name(name).empty()) {
      run.leave("unknown_file", "", store::path_in(store.locks_dir(), name),
                "it is not known whose this is; remove it if it is not used");
    }
  }
  for (const std::string& id : before) {
    check_files_of(run, id);
  }
  for (const std::string& id : ids_with_lock_files(store)) {
    if (!before.contains(id) && is_unused_id(store, id)) {
      store::forget_lock(store, id);
    }
  }
}

}  // namespace meta
