// SPDX-License-Identifier: Apache-2.0
// What killed programs have left in a store, and where its index of forks and the truth differ.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "store/files.h"
#include "store/store.h"

namespace meta {

enum class Outcome {
  found,   // and not touched, because nothing was to be changed
  mended,  // and is gone
  busy,    // somebody is at work on that id: perhaps nothing is wrong
  left,    // cannot be mended here
};
const char* outcome_name(Outcome outcome);

struct Finding {
  Outcome outcome = Outcome::found;
  std::string problem;  // one word: "leftover", "trash", "stale_entry", ...: the man page has all
  std::string id;       // empty when it is not known whose it is
  std::string path;
  std::string text;  // what it is, and what was done or is to be done
};

// Looks at all of the store, and (Effect::real) mends what it can. Tells each finding as it comes.
// Safe beside other programs: whatever seems wrong is looked at again, and changed, only under the
// locks of the ids that it concerns; these are taken without waiting. Killed anywhere, the next run
// goes on. O(guests). Throws only when the store itself cannot be read.
void check_store(const store::Store& store, store::Effect effect,
                 const std::function<void(const Finding&)>& tell);

}  // namespace meta
