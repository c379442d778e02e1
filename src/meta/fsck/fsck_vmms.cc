// SPDX-License-Identifier: Apache-2.0
// Checks the run directory for VMMs of guests that another program removed.
#include <string>

#include "base/error.h"
#include "meta/flows/vmm_leftovers.h"
#include "meta/fsck/fsck_candidate.h"

namespace meta {

void check_vmm_directories(const FsckRun& run) {
  for (const VmmLeftover& leftover : find_vmm_leftovers(run.store())) {
    const std::string& path = leftover.path;
    run.resolve({.problem = "vmm_leftover",
                 .id = leftover.id,
                 .path = path,
                 .text = "files of a VMM whose guest no longer exists",
                 .locks = exclusively(leftover.id),
                 .is_present = [&] { return is_vmm_leftover(run.store(), path); },
                 .repair =
                     [&] {
                       if (!remove_vmm_leftover(path)) {
                         throw base::Refused("the VMM runs; end it with 'fc-run --end --dir " +
                                             path + "'");
                       }
                       return "removed";
                     }});
  }
  for (const VmmLeftover& leftover : find_jail_leftovers(run.store())) {
    const std::string& path = leftover.path;
    run.resolve({.problem = "jail_leftover",
                 .id = leftover.id,
                 .path = path,
                 .text = "the jail of a VMM whose fc-run was killed",
                 .locks = exclusively(leftover.id),
                 .is_present = [&] { return is_jail_leftover(run.store(), path); },
                 .repair =
                     [&] {
                       undo_jail_leftover(path);
                       return "removed";
                     }});
  }
}

}  // namespace meta
