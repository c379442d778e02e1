// SPDX-License-Identifier: Apache-2.0
// A guest in Standby becomes a template, and a template a guest in Standby again.
#pragma once

#include <sys/stat.h>

#include <string>

#include "meta/guest/guest_state.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

// What keeps the memory from being immutable: "it can be written (mode 0644)", "its inode has 2
// links"; empty when it is sealed. Links do not count when `may_have_links`: those of a template
// are its forks'.
std::string seal_problem(const struct stat& memory, bool may_have_links);

// Durable, in this order: the fork index, template/image.json, the seal looked at again, the flag.
// So a crash leaves the guest in Standby or a template, and another promote finishes it. A template
// whose record is in order is left alone. Refused when the snapshot is not whole or the memory not
// sealed, or the guest is Stale without Force::yes, which records its disks as they are now. Reads
// the whole memory file (not its holes).
void promote(const store::Store& store, const std::string& id, Force force, store::Effect effect);

// The flag and HotPagesPath go first, durably, then template/. Refused while forks live or a record
// of one cannot be read.
void demote(const store::Store& store, const std::string& id, store::Effect effect);

}  // namespace meta
