// SPDX-License-Identifier: Apache-2.0
// Taking away what killed runs left.
#pragma once

#include <string>
#include <vector>

namespace cloning {

struct Leftover {
  std::string path;
  bool in_use;  // a run that lives is at work there: it stays
};

// Removes the temporaries of the suite that stand in the directory, those below its directories
// not; with `dry_run` only says which. Throws std::system_error.
std::vector<Leftover> remove_leftovers(const std::string& directory, bool dry_run);

// The record of type "leftover" and what a person reads; `dry_run` as above.
std::string leftover_record(const Leftover& leftover, bool dry_run);
std::string leftover_line(const Leftover& leftover, bool dry_run);

}  // namespace cloning
