// SPDX-License-Identifier: Apache-2.0
// Selects the verb of a command line.
#include "base/verbs.h"

#include <algorithm>

#include "base/error.h"

namespace base {

int run_verb(std::span<const Verb> verbs, Options& program, int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  const auto verb = std::ranges::find(verbs, word, &Verb::name);
  if (verb != verbs.end()) {
    return verb->run(argc - 1, argv + 1);
  }
  if (!word.empty() && word.front() != '-') {
    throw UsageError("unknown verb " + base::quoted(word));
  }
  if (!program.parse(argc, argv)) {
    return 0;
  }
  throw UsageError(word.empty() ? "a verb is missing" : "the verb must be the first argument");
}

}  // namespace base
