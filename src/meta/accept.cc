// SPDX-License-Identifier: Apache-2.0
#include "meta/accept.h"

#include <optional>

#include "base/error.h"
#include "meta/disks.h"
#include "meta/guest_state.h"
#include "meta/metadata.h"
#include "meta/metadata_update.h"

namespace meta {

std::vector<std::string> accept_disks(const base::Store& store, const std::string& id,
                                      Effect effect) {
  require_guest(store, id);
  std::optional<GuestLocks> lock;
  std::optional<MetadataUpdate> update;
  if (effect == Effect::real) {
    lock.emplace(store, id);
    update.emplace(store, id);
  }
  Metadata metadata = Metadata::of_guest(store, id);
  require_whole_snapshot(derive_state(store, id, metadata), id, "accept the disks of", Force::yes);
  std::vector<std::string> changes = changed_disks(metadata, store.guest_dir(id));
  for (const Disk& disk : disks_of(metadata)) {
    if (!path_exists(path_in(store.guest_dir(id), disk.file))) {
      throw base::Refused("cannot accept the disks of " + base::quoted(id) + ": " +
                          base::quoted(disk.file) + " is missing");
    }
  }
  record_disks(metadata, store.guest_dir(id));
  if (effect == Effect::real && !disks_of(metadata).empty()) {
    metadata.write(store.metadata_path(id), base::Durable::yes);
  }
  return changes;
}

}  // namespace meta
