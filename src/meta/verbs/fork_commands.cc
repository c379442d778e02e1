// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta forks, fork-begin, fork-publish and fork-end.
#include <sys/types.h>

#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/utf8.h"
#include "meta/flows/backend.h"
#include "meta/flows/fork_lifecycle.h"
#include "meta/flows/fork_publish.h"
#include "meta/flows/source_state.h"
#include "meta/forks/fork_count.h"
#include "meta/guest/metadata.h"
#include "meta/verbs/clone_report.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "store/files.h"
#include "store/run_dir.h"

namespace meta {
namespace {

// Leaves the ids whose clones have a report. Returns false if nothing is to be published.
bool keep_reported(std::vector<std::string>& ids, const CloneReports& reports, bool needs_all) {
  const size_t wanted = ids.size();
  std::erase_if(ids, [&reports](const std::string& id) {
    const bool is_reported = reports.contains(clone_name(id));
    if (!is_reported) {
      base::say_detail("fork " + base::quoted(id) + " is not published: its clone is not reported");
    }
    return !is_reported;
  });
  return needs_all ? ids.size() == wanted : !ids.empty();
}

std::optional<pid_t> caller_of(const base::ParsedOptions& parsed) {
  if (!parsed.has("caller")) {
    return std::nullopt;
  }
  return static_cast<pid_t>(parsed.number("caller", 1, std::numeric_limits<pid_t>::max(), 0));
}

constexpr const char* kBackends = "auto|uffd|file";

std::string requested_backend(const base::ParsedOptions& parsed) {
  return parsed.choice("backend", {"auto", "uffd", "file"});
}

}  // namespace

int forks_command(int argc, char** argv) {
  base::Options options("snapshot-meta forks", "[OPTION]... ID",
                        "Print the ids of a template's live forks, one per line.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  std::vector<std::string> live;
  std::vector<std::string> absent;
  std::vector<std::string> unreadable;
  for (const ForkRecord& fork : forks_of(store, id, Metadata::of_guest(store, id))) {
    if (fork.state == ForkState::live) {
      live.push_back(fork.id);
    } else if (fork.state == ForkState::absent) {
      absent.push_back(fork.id);
    } else if (fork.state == ForkState::unreadable) {
      unreadable.push_back(fork.id);
      base::say_error("cannot read fork " + base::quoted(fork.id) + " of " + base::quoted(id) +
                      ": " + fork.problem);
    }
  }
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("forks")
                             .text("id", id)
                             .raw("forks", base::json_array(live))
                             .raw("absent", base::json_array(absent))
                             .raw("unreadable", base::json_array(unreadable))
                             .str());
  } else {
    for (const std::string& fork : live) {
      base::write_line_out(fork);
    }
  }
  return unreadable.empty() ? 0 : 1;
}

int fork_begin_command(int argc, char** argv) {
  base::Options options("snapshot-meta fork-begin", "[OPTION]... SOURCE NEW...",
                        "Add forks to the index of their template; print where to clone each.");
  options.value("backend", kBackends, "back end of the first restore (default: auto)");
  add_force(options);
  base::add_dry_run(options);
  const std::optional<GuestCall> call =
      parse_guest_call(options, argc, argv, {2, SIZE_MAX, "SOURCE and NEW"});
  if (!call) {
    return 0;
  }
  const auto& [parsed, source, effect, store] = *call;
  const std::vector<std::string> ids = id_operands(parsed, 1);
  const BegunForks begun = begin_forks(store, source, ids, force_of(parsed), effect);
  const std::string memory = begun.links_memory ? "link" : "reflink";
  const BackendChoice choice = choose_backend(store, source, requested_backend(parsed));
  for (const std::string& id : ids) {
    const std::string dir = clone_dir(store, id);
    std::string line = id;
    if (base::message_style().json) {
      line = base::JsonLine("fork-begin")
                 .text("id", id)
                 .path("clone_dir", dir)
                 .text("memory", memory)
                 .text("backend", backend_name(choice.backend))
                 .str();
    } else {
      line.append("\t").append(dir).append("\t").append(memory);
      line.append("\t").append(backend_name(choice.backend));
    }
    base::write_out(line.append("\n"));
  }
  return 0;
}

int fork_publish_command(int argc, char** argv) {
  base::Options options("snapshot-meta fork-publish", "[OPTION]... SOURCE NEW...",
                        "Make guests of the clones that fork-begin announced.");
  options.value("backend", kBackends, "back end of the first restore (default: auto)")
      .value("socket-dir", "DIR",
             "directory of the page server's session sockets (default: its own)")
      .value("clone-report", "FILE", "output of 'reflink-clone --json'; - is standard input")
      .value("reported", "all|some", "publish all NEW, or those, whose clones are in the report")
      .value("caller", "PID", "end with process PID, until the report is complete")
      .value("name", "NAME", "the name of a single fork (default: its id)")
      .value("tap", "IFACE=TAP", "the tap of an interface; {n}: 0, 1...; {id}: the fork's id");
  add_force(options);
  base::add_dry_run(options);
  const std::optional<GuestCall> call =
      parse_guest_call(options, argc, argv, {2, SIZE_MAX, "SOURCE and NEW"});
  if (!call) {
    return 0;
  }
  const auto& [parsed, source, effect, store] = *call;
  // While reflink-clone runs.
  std::optional<SourceState> early_state = try_read_source_state(store, source);
  // Before anything can fail, so that the reflink-clone that writes it can end.
  CloneReports reports;
  if (const std::optional<std::string> report = parsed.value("clone-report")) {
    reports = read_clone_reports(*report, caller_of(parsed));
  }
  std::vector<std::string> ids = id_operands(parsed, 1);
  if (parsed.has("reported") &&
      !keep_reported(ids, reports, parsed.choice("reported", {"all", "some"}) == "all")) {
    return static_cast<int>(base::ExitCode::no);
  }
  PublishOptions publish{.backend = choose_backend(store, source, requested_backend(parsed)),
                         .socket_dir = "",
                         .name = parsed.value_or("name", ""),
                         .force = force_of(parsed),
                         .clone_reports = std::move(reports),
                         .early_state = std::move(early_state)};
  if (!publish.name.empty() && ids.size() > 1) {
    throw base::UsageError("--name requires a single fork");
  }
  if (!base::is_utf8(publish.name)) {
    throw base::UsageError("the name is not UTF-8");
  }
  for (const std::string& tap : parsed.values("tap")) {
    publish.taps.push_back(parse_tap(tap));
  }
  if (publish.uses_uffd()) {
    publish.socket_dir =
        store::absolute_path(parsed.value_or("socket-dir", store::default_socket_dir()));
  }
  const PublishResult result = publish_forks(store, source, ids, publish, effect);
  try {
    for (const std::string& record : result.records) {
      base::write_out(record + "\n");
    }
    base::flush_out();
  } catch (const std::exception&) {
    for (size_t i = 0; i < result.records.size(); ++i) {
      base::say_error("fork " + base::quoted(ids[i]) +
                      " exists, but its record cannot be written; 'snapfork delete' removes it");
    }
    throw;
  }
  if (result.failure) {
    std::rethrow_exception(result.failure);
  }
  return 0;
}

int fork_end_command(int argc, char** argv) {
  base::Options options(
      "snapshot-meta fork-end", "[OPTION]... TEMPLATE FORK...",
      "Remove clones and index entries of forks that do not exist; TEMPLATE may be -.");
  base::add_dry_run(options);
  const std::optional<base::ParsedOptions> parsed =
      parse_operands(options, argc, argv, {2, SIZE_MAX, "TEMPLATE and FORK"});
  if (!parsed) {
    return 0;
  }
  const std::string parent = parsed->operands()[0] == "-" ? "" : id_operand(*parsed, 0);
  const std::vector<std::string> ids = id_operands(*parsed, 1);
  const base::Effect effect = base::effect_of(*parsed);
  const store::Store store = store::open_store();
  end_forks(store, parent, ids, effect);
  for (const std::string& id : ids) {
    announce(effect, "remove " + clone_dir(store, id) +
                         (parent.empty() ? "" : " and its entry in the index of '" + parent + "'"));
  }
  return 0;
}

}  // namespace meta
