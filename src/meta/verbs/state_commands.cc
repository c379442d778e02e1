// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta state, verify and accept.
#include <optional>
#include <string>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/accept.h"
#include "meta/flows/verify.h"
#include "meta/guest/guest_facts.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {
namespace {

struct StateAnswer {
  Metadata metadata;
  GuestState state;
};

// Derives the state of the guest. A guest with damaged metadata is Running if a process may be its
// VMM. Otherwise throws base::BadData with the damage.
StateAnswer read_state(const store::Store& store, const std::string& id) {
  try {
    StateAnswer answer{.metadata = Metadata::of_guest(store, id), .state = {}};
    answer.state = derive_state(store, id, answer.metadata);
    return answer;
  } catch (const base::BadData& error) {
    StateAnswer answer;
    answer.state.vmm.live = VmmFinder(store).find_without_metadata(id);
    if (!answer.state.vmm.live) {
      throw;
    }
    answer.state.state = State::running;
    answer.state.reason = std::string(error.what()) + "; " + answer.state.vmm.live->reason;
    return answer;
  }
}

}  // namespace

int state_command(int argc, char** argv) {
  base::Options options("snapshot-meta state", "[OPTION]... ID",
                        "Print Stopped, Running, Standby, Stale, Template or Broken, and why.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const auto [metadata, state] = read_state(store, id);
  if (base::message_style().json) {
    base::JsonLine line("state");
    line.text("id", id).text("state", state_name(state.state));
    state.reason.empty() ? line.null("reason") : line.text("reason", state.reason);
    base::write_line_out(line.raw("facts", facts_json(store, id, state, metadata)).str());
    return 0;
  }
  if (base::message_style().verbosity == base::Verbosity::verbose) {
    for (const std::string& fact : facts_text(store, id, state, metadata)) {
      base::say_detail(fact);
    }
  }
  if (!state.reason.empty()) {
    base::say_info("guest " + base::quoted(id) + ": " + state.reason);
  }
  base::write_line_out(state_name(state.state));
  return 0;
}

int verify_command(int argc, char** argv) {
  base::Options options("snapshot-meta verify", "[OPTION]... ID",
                        "Check whether the parts of a guest agree with each other.");
  options.flag("deep", "compare the digest of all memory of a template or its fork")
      .flag("force", "accept disks that changed after the snapshot");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const std::vector<std::string> problems =
      verify_guest(store, id, parsed.has("deep") ? Depth::deep : Depth::quick, force_of(parsed));
  for (const std::string& problem : problems) {
    base::say_error(problem);
  }
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("verify")
                             .text("id", id)
                             .boolean("ok", problems.empty())
                             .raw("problems", base::json_array(problems))
                             .str());
  } else if (problems.empty()) {
    base::write_line_out("ok");
  }
  return problems.empty() ? 0 : 1;
}

int accept_command(int argc, char** argv) {
  base::Options options("snapshot-meta accept", "[OPTION]... ID",
                        "Record the disks of a Stale guest as those of its snapshot.");
  base::add_dry_run(options);
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const std::vector<std::string> changes = accept_disks(store, id, effect);
  for (const std::string& change : changes) {
    base::say_info(base::quoted(id) + ": " + change);
  }
  announce(effect, "record the disks of '" + id + "' as they are");
  return 0;
}

}  // namespace meta
