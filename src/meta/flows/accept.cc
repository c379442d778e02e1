// SPDX-License-Identifier: Apache-2.0
// Checks that no disk is missing, and records sizes and times of all disks.
#include "meta/flows/accept.h"

#include "base/effect.h"
#include "base/error.h"
#include "meta/guest/disks.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/guest/metadata_update.h"
#include "store/files.h"

namespace meta {

std::vector<std::string> accept_disks(const store::Store& store, const std::string& id,
                                      base::Effect effect) {
  std::vector<std::string> changes;
  change_metadata(store, id, effect, [&](Metadata& metadata) {
    require_whole_snapshot(derive_state(store, id, metadata), id, "accept the disks of",
                           Force::yes);
    changes = changed_disks(metadata, store.guest_dir(id));
    for (const Disk& disk : disks_of(metadata)) {
      if (!store::path_exists(store::path_in(store.guest_dir(id), disk.file))) {
        throw base::Refused("cannot accept the disks of " + base::quoted(id) + ": " +
                            base::quoted(disk.file) + " is missing");
      }
    }
    record_disks(metadata, store.guest_dir(id));
  });
  return changes;
}

}  // namespace meta
