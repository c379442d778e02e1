// SPDX-License-Identifier: Apache-2.0
// Removes the leftovers of killed runs.
#pragma once

#include <string>
#include <vector>

#include "base/effect.h"

namespace cloning {

struct Leftover {
  std::string path;
  bool in_use;  // a running process uses it: it stays
};

// Removes the temporaries of the suite directly in this directory, not those in its subdirectories.
// With Effect::dry_run, only returns them. Throws std::system_error.
std::vector<Leftover> remove_leftovers(const std::string& directory, base::Effect effect);

// Returns the record of type "leftover", and the line for a person. `effect` as above.
std::string leftover_record(const Leftover& leftover, base::Effect effect);
std::string leftover_line(const Leftover& leftover, base::Effect effect);

}  // namespace cloning
