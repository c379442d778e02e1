// SPDX-License-Identifier: Apache-2.0
// Checks the snapshot that a VMM wrote, before it is published.
#pragma once

#include <string>

#include "store/store.h"

namespace meta {

// Throws base::BadData unless `dir`, a directory of the store, has a whole snapshot of the guest: a
// state with a correct CRC and a memory file of its length, each a regular file with one link, the
// memory size of the guest, and no drive that the guest's present state does not have.
void check_written_snapshot(const store::Store& store, const std::string& id,
                            const std::string& dir);

}  // namespace meta
