// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta show, get, set and unset.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/utf8.h"
#include "meta/forks/fork_count.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/guest/metadata_update.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {
namespace {

// An operand KEY=STRING or KEY:=JSON.
struct Assignment {
  std::string key;
  std::string raw;
};

// The command line is well formed, so its help would not help: status 2 without the advice to read
// it.
[[noreturn]] void refuse(const std::string& message) {
  throw base::Error(base::ExitCode::usage, message);
}

void refuse_reserved(const std::string& key) {
  if (key == "Id" || key == "IsTemplate" || key == "ForkOfTemplate") {
    refuse("the key " + base::quoted(key) +
           " cannot be changed; only init, promote, demote and fork change it");
  }
}

Assignment parse_assignment(const std::string& operand) {
  const size_t equals = operand.find('=');
  if (equals == std::string::npos) {
    refuse("bad assignment " + base::quoted(operand) + ": it must be KEY=STRING or KEY:=JSON");
  }
  const bool is_json = equals > 0 && operand[equals - 1] == ':';
  Assignment assignment{.key = operand.substr(0, is_json ? equals - 1 : equals),
                        .raw = operand.substr(equals + 1)};
  if (assignment.key.empty()) {
    refuse("bad assignment " + base::quoted(operand) + ": the key is empty");
  }
  refuse_reserved(assignment.key);
  if (!is_json) {
    if (!base::is_utf8(assignment.raw)) {
      refuse("the value of " + base::quoted(assignment.key) + " is not UTF-8");
    }
    assignment.raw = base::json_string(assignment.raw);
  } else {
    try {
      base::check_json(assignment.raw, "the value of " + assignment.key);
    } catch (const base::BadData& error) {
      refuse(error.what());
    }
  }
  const size_t start = assignment.raw.find_first_not_of(" \t\n\r");
  const size_t end = assignment.raw.find_last_not_of(" \t\n\r");
  assignment.raw = assignment.raw.substr(start, end - start + 1);
  if (!fits_key(assignment.key, assignment.raw)) {
    refuse("bad value for " + base::quoted(assignment.key) + ": " + "it must be " +
           key_type_name(key_type(assignment.key)));
  }
  return assignment;
}

}  // namespace

int show_command(int argc, char** argv) {
  base::Options options("snapshot-meta show", "[OPTION]... ID",
                        "Print the metadata of a guest and its derived state.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  Metadata metadata = Metadata::of_guest(store, id);
  const GuestState state = derive_state(store, id, metadata);
  base::JsonObject shown = metadata.json();
  shown.set("state", base::json_string(state_name(state.state)));
  shown.set("fork_count", std::to_string(count_forks(store, id, metadata)));
  shown.set("mem_locked", is_memory_locked(state, metadata) ? "true" : "false");
  base::write_line_out(base::message_style().json ? shown.compact() : shown.pretty());
  return 0;
}

int get_command(int argc, char** argv) {
  base::Options options("snapshot-meta get", "[OPTION]... ID KEY",
                        "Print one value of a guest's metadata: a bare string, or JSON.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv, {2, 2, "ID and KEY"});
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const std::string& key = parsed.operands()[1];
  const std::optional<std::string> raw = Metadata::of_guest(store, id).json().find_path(key);
  if (!raw) {
    throw base::Refused("guest " + base::quoted(id) + " has no key " + base::quoted(key) +
                        "; 'snapshot-meta show " + id + "' prints all keys");
  }
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("value")
                             .text("id", id)
                             .text("key", key)
                             .raw("value", base::compact_json(*raw))
                             .str());
  } else {
    const std::optional<std::string> text = base::json_text(*raw);
    base::write_line_out(text ? *text : base::compact_json(*raw));
  }
  return 0;
}

int set_command(int argc, char** argv) {
  base::Options options("snapshot-meta set", "[OPTION]... ID KEY=STRING|KEY:=JSON...",
                        "Change values of a guest's metadata durably; other keys are not changed.");
  base::add_dry_run(options);
  const std::optional<GuestCall> call =
      parse_guest_call(options, argc, argv, {2, SIZE_MAX, "ID and KEY=STRING or KEY:=JSON"});
  if (!call) {
    return 0;
  }
  std::vector<Assignment> assignments;
  for (size_t i = 1; i < call->options.operands().size(); ++i) {
    assignments.push_back(parse_assignment(call->options.operands()[i]));
  }
  change_metadata(call->store, call->id, call->effect, [&](Metadata& metadata) {
    for (const Assignment& assignment : assignments) {
      if (!metadata.json().set_path(assignment.key, assignment.raw)) {
        throw base::Refused("cannot set " + base::quoted(assignment.key) + " of " +
                            base::quoted(call->id) +
                            ": a key before the last dot is not an object");
      }
      announce(call->effect,
               "set " + assignment.key + " of '" + call->id + "' to " + assignment.raw);
    }
  });
  return 0;
}

int unset_command(int argc, char** argv) {
  base::Options options(
      "snapshot-meta unset", "[OPTION]... ID KEY...",
      "Remove keys from a guest's metadata durably; a missing key is not an error.");
  base::add_dry_run(options);
  const std::optional<GuestCall> call =
      parse_guest_call(options, argc, argv, {2, SIZE_MAX, "ID and KEY"});
  if (!call) {
    return 0;
  }
  const std::vector<std::string> keys(call->options.operands().begin() + 1,
                                      call->options.operands().end());
  std::ranges::for_each(keys, refuse_reserved);
  change_metadata(call->store, call->id, call->effect, [&](Metadata& metadata) {
    for (const std::string& key : keys) {
      if (metadata.json().erase_path(key)) {
        announce(call->effect, "remove " + key + " from the metadata of '" + call->id + "'");
      }
    }
  });
  return 0;
}

}  // namespace meta
