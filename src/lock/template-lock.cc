// SPDX-License-Identifier: Apache-2.0
// template-lock: runs a command under the locks of guests; guards and seals them; lists holders.
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "base/options.h"
#include "base/program.h"
#include "lock/verbs.h"

namespace {

struct Verb {
  std::string_view name;
  int (&run)(int argc, char** argv);
};

constexpr std::array<Verb, 6> kVerbs = {{{"guard", lock::run_guard},
                                         {"seal", lock::run_seal},
                                         {"unseal", lock::run_unseal},
                                         {"holders", lock::run_holders},
                                         {"wait", lock::run_wait},
                                         {"forget", lock::run_forget}}};

// Returns the first operand, if only options without a value precede it.
char** first_operand(int argc, char** argv) {
  return std::find_if(argv + 1, argv + argc, [](const char* word) { return word[0] != '-'; });
}

bool has_descriptor(int argc, char** argv) {
  return std::any_of(argv + 1, argv + argc, [](const char* word) {
    return std::string_view(word) == "--fd" || std::string_view(word).starts_with("--fd=");
  });
}

// A guest may have the name of a verb: a command line with "--" or "--fd" has only guests.
int run(int argc, char** argv) {
  if (const auto command = base::split_command(argc, argv)) {
    return lock::run_command(argc, argv, *command);
  }
  char** operand = first_operand(argc, argv);
  if (operand != argv + argc && !has_descriptor(argc, argv)) {
    const auto* verb = std::ranges::find(kVerbs, std::string_view(*operand), &Verb::name);
    if (verb != kVerbs.end()) {
      std::rotate(argv + 1, operand, operand + 1);
      return verb->run(argc - 1, argv + 1);
    }
  }
  return lock::run_without_command(argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("template-lock", argc, argv, run);
}
