// SPDX-License-Identifier: Apache-2.0
// Programs whose first argument is a verb.
#pragma once

#include <span>
#include <string_view>

#include "base/options.h"

namespace base {

struct Verb {
  std::string_view name;
  int (*run)(int argc, char** argv);  // argv[0] is the verb
};

// Runs the verb that argv[1] names, and returns its result. If argv[1] is an option, parses the
// command line with the options of the program, and returns 0 after --help or --version. Throws
// UsageError if the verb is missing or unknown.
int run_verb(std::span<const Verb> verbs, Options& program, int argc, char** argv);

}  // namespace base
