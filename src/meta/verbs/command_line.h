// SPDX-License-Identifier: Apache-2.0
// What the command lines of several verbs share.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "meta/guest/guest_state.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

// --dry-run, for the verbs that write.
void add_dry_run(base::Options& options);
store::Effect effect_of(const base::ParsedOptions& parsed);
// --force, for the verbs that take a snapshot: also one in state Stale.
void add_force(base::Options& options);
Force force_of(const base::ParsedOptions& parsed);
// With --dry-run, writes "would TEXT" as a line of standard output (or as a record with --json).
void announce(store::Effect effect, std::string_view text);

// How many operands a verb takes, and what a message calls them.
struct Operands {
  size_t least;
  size_t most;
  std::string_view what;
};
// Nothing when --help or --version was printed. Throws base::UsageError.
std::optional<base::ParsedOptions> parse_operands(base::Options& options, int argc, char** argv,
                                                  const Operands& operands);

// The command line of a verb whose first operand is a guest's id.
struct GuestCall {
  base::ParsedOptions options;
  std::string id;
  store::Effect effect;  // dry_run with --dry-run, for verbs that have it
  store::Store store;
};
// The same, with the store opened (open_store).
std::optional<GuestCall> parse_guest_call(base::Options& options, int argc, char** argv,
                                          const Operands& operands = {1, 1, "ID"});

// Operand `index`, which must be an id. Throws base::UsageError.
std::string id_operand(const base::ParsedOptions& parsed, size_t index);
// The ids from operand `first` on.
std::vector<std::string> id_operands(const base::ParsedOptions& parsed, size_t first);

// `text` as it may stand in a line of plain output: as a JSON string when it has a control
// character or is not UTF-8 (base/utf8.h).
std::string plain_text(std::string_view text);

}  // namespace meta
