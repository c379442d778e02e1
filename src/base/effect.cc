// SPDX-License-Identifier: Apache-2.0
// Adds and reads the option --dry-run.
#include "base/effect.h"

namespace base {

Options& add_dry_run(Options& options, const char* help) {
  return options.flag("dry-run", help);
}

Effect effect_of(const ParsedOptions& parsed) {
  return parsed.has("dry-run") ? Effect::dry_run : Effect::real;
}

}  // namespace base
