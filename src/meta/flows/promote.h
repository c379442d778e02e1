// SPDX-License-Identifier: Apache-2.0
// Promotes a guest in Standby to a template, and demotes a template to Standby.
#pragma once

#include <string>

#include "base/effect.h"
#include "meta/guest/guest_state.h"
#include "store/store.h"

namespace meta {

// Writes the fork index and template/image.json, checks the seal again, and sets IsTemplate; each
// step is durable before the next. A crash leaves the guest in Standby or as a template, and
// another promote finishes the work. A template with a valid image.json is not changed. Reads the
// whole memory file except its holes. Throws base::Refused if the snapshot is not whole, the memory
// is not sealed, or the guest is Stale. With Force::yes, a Stale guest is accepted, and its disks
// are recorded as they are now.
void promote(const store::Store& store, const std::string& id, Force force, base::Effect effect);

// Clears IsTemplate and HotPagesPath durably, then removes template/. Throws base::Refused if a
// fork is live or cannot be read.
void demote(const store::Store& store, const std::string& id, base::Effect effect);

}  // namespace meta
