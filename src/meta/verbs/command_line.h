// SPDX-License-Identifier: Apache-2.0
// Declares options, operands and output that several verbs share.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effect.h"
#include "base/options.h"
#include "meta/guest/guest_state.h"
#include "store/store.h"

namespace meta {

// Adds --force, for verbs that need a snapshot: accept one in state Stale.
void add_force(base::Options& options);
Force force_of(const base::ParsedOptions& parsed);
// With --dry-run, writes the line "would TEXT" to standard output, or a record with --json.
void announce(base::Effect effect, std::string_view text);

// The number of operands of a verb, and their name in messages.
struct Operands {
  size_t least;
  size_t most;
  std::string_view what;
};
// Returns nothing if --help or --version was printed. Throws base::UsageError.
std::optional<base::ParsedOptions> parse_operands(base::Options& options, int argc, char** argv,
                                                  const Operands& operands);

// The command line of a verb whose first operand is the id of a guest.
struct GuestCall {
  base::ParsedOptions options;
  std::string id;
  base::Effect effect;  // dry_run if the verb has --dry-run and it was given
  store::Store store;
};
// Parses it and opens the store (open_store). Returns and throws as parse_operands does.
std::optional<GuestCall> parse_guest_call(base::Options& options, int argc, char** argv,
                                          const Operands& operands = {1, 1, "ID"});

// Operand `index`. Throws base::UsageError if it is not an id.
std::string id_operand(const base::ParsedOptions& parsed, size_t index);
// The ids from operand `first` on.
std::vector<std::string> id_operands(const base::ParsedOptions& parsed, size_t first);

// `text` for a line of plain output: a JSON string if it has a control character or is not UTF-8
// (base/utf8.h), else unchanged.
std::string plain_text(std::string_view text);

}  // namespace meta
