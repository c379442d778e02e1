// SPDX-License-Identifier: Apache-2.0
// Parses ids and common options, and prints dry-run lines.
#include "meta/verbs/command_line.h"

#include <algorithm>
#include <utility>

#include "base/json_line.h"
#include "base/message.h"
#include "base/output.h"
#include "base/utf8.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

void add_force(base::Options& options) {
  options.flag("force", "accept a Stale guest, whose disks changed after the snapshot");
}

Force force_of(const base::ParsedOptions& parsed) {
  return parsed.has("force") ? Force::yes : Force::no;
}

void announce(base::Effect effect, std::string_view text) {
  if (effect == base::Effect::real) {
    return;
  }
  const std::string line = "would " + std::string(text);
  base::write_line_out(base::message_style().json
                           ? base::JsonLine("dry-run").text("action", line).str()
                           : plain_text(line));
}

std::optional<base::ParsedOptions> parse_operands(base::Options& options, int argc, char** argv,
                                                  const Operands& operands) {
  std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (parsed) {
    parsed->require_operands(operands.least, operands.most, operands.what);
  }
  return parsed;
}

std::optional<GuestCall> parse_guest_call(base::Options& options, int argc, char** argv,
                                          const Operands& operands) {
  std::optional<base::ParsedOptions> parsed = parse_operands(options, argc, argv, operands);
  if (!parsed) {
    return std::nullopt;
  }
  std::string id = id_operand(*parsed, 0);
  const base::Effect effect = base::effect_of(*parsed);
  return GuestCall{.options = *std::move(parsed),
                   .id = std::move(id),
                   .effect = effect,
                   .store = store::open_store()};
}

std::string id_operand(const base::ParsedOptions& parsed, size_t index) {
  const std::string& id = parsed.operands().at(index);
  store::check_id(id);
  return id;
}

std::vector<std::string> id_operands(const base::ParsedOptions& parsed, size_t first) {
  std::vector<std::string> ids;
  for (size_t i = first; i < parsed.operands().size(); ++i) {
    ids.push_back(id_operand(parsed, i));
  }
  return ids;
}

std::string plain_text(std::string_view text) {
  return base::is_printable(text) ? std::string(text) : base::json_string(text);
}

}  // namespace meta
