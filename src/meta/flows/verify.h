// SPDX-License-Identifier: Apache-2.0
// Whether the parts of a guest agree with each other.
#pragma once

#include <string>
#include <vector>

#include "meta/guest/guest_state.h"
#include "store/store.h"

namespace meta {

enum class Depth { quick, deep };

// Everything that does not fit, a sentence each; none when all does. Checks the snapshot (CRC,
// version known, length of memory), the disks and the links of the memory (verify_files.h), that a
// fork's template counts it, a template's fork records, its hot list, its seal and its image.json;
// that the disks did not change since the snapshot (not with Force::yes);
// with Depth::deep also the digest of a template's memory, and of a fork's that is its template's
// file, for which all of it is read; of other memory no digest is recorded, which is said. Takes no
// lock. Throws base::Refused when there is no such guest, base::BadData when its metadata cannot be
// read.
std::vector<std::string> verify_guest(const store::Store& store, const std::string& id, Depth depth,
                                      Force force);

}  // namespace meta
