// SPDX-License-Identifier: Apache-2.0
// Checks whether the parts of a guest agree with each other.
#pragma once

#include <string>
#include <vector>

#include "meta/guest/guest_state.h"
#include "store/store.h"

namespace meta {

enum class Depth { quick, deep };

// Returns one sentence for each problem; empty if there is none. The checks are:
//
// * the snapshot: CRC, known version, size of the memory
// * the disks and the links of the memory (verify_files.h)
// * unless Force::yes: the disks did not change after the snapshot was published
// * for a fork: the index of its template has it
// * for a template: its forks, hot list, seal and image.json
// * with Depth::deep: the digest of the memory of a template, or of a fork that shares the memory
//   file of its template. All of it is read. No digest is recorded for other memory.
//
// Takes no lock. Throws base::Refused if the guest does not exist, and base::BadData if its
// metadata cannot be read.
std::vector<std::string> verify_guest(const store::Store& store, const std::string& id, Depth depth,
                                      Force force);

}  // namespace meta
