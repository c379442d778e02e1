// SPDX-License-Identifier: Apache-2.0
// The option --dry-run, and the type that carries it.
#pragma once

#include "base/options.h"

namespace base {

// Whether a function changes something, or only checks and reports what it would change.
enum class Effect { real, dry_run };

inline bool is_dry_run(Effect effect) {
  return effect == Effect::dry_run;
}

// Adds --dry-run, for commands that change something.
Options& add_dry_run(Options& options,
                     const char* help = "print what would be done, and change nothing");
// Returns Effect::dry_run if --dry-run was given.
Effect effect_of(const ParsedOptions& parsed);

}  // namespace base
