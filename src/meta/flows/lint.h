// SPDX-License-Identifier: Apache-2.0
// Finds what the forks of a guest would share although each needs its own. See docs/uniqueness.md.
#pragma once

#include <string>
#include <vector>

#include "store/store.h"

namespace meta {

struct Hazard {
  std::string name;    // "clock", "network", "secret", ...: a section of docs/uniqueness.md
  std::string what;    // one sentence, without a full stop
  std::string advice;  // an instruction
};

// Returns the hazards that the state, the boot arguments and the metadata of guest `id` show; a
// guest without any may still have others inside of its memory. Values of secrets are not returned.
// Throws as require_guest and vmstate::parse_vmstate do.
std::vector<Hazard> find_hazards(const store::Store& store, const std::string& id);

}  // namespace meta
