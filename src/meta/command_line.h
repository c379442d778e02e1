// What the command lines of several verbs share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "meta/files.h"

namespace meta {

// --dry-run, for the verbs that write.
void add_dry_run(base::Options& options);
Effect effect_of(const base::ParsedOptions& parsed);
// With --dry-run, writes "would TEXT" as a line of standard output (or as a record with --json).
void announce(Effect effect, std::string_view text);

// Operand `index`, which must be an id. Throws base::UsageError.
std::string id_operand(const base::ParsedOptions& parsed, size_t index);
// The ids from operand `first` on.
std::vector<std::string> id_operands(const base::ParsedOptions& parsed, size_t first);

// `text` as it may stand in a line of plain output: as JSON when a control character would break
// it.
std::string plain_text(std::string_view text);

}  // namespace meta
