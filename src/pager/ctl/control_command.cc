// SPDX-License-Identifier: Apache-2.0
// The options of uffd-ctl and the table of its verbs.
#include "pager/ctl/control_command.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/options.h"
#include "pager/ctl/addresses.h"
#include "pager/ctl/verbs.h"
#include "pager/serve/serving_options.h"

namespace pager {
namespace {

struct Verb {
  std::string_view name;
  size_t least_operands;  // the verb is the first
  size_t most_operands;
  const char* usage;
  void (*run)(const Call& call);
};

constexpr std::array kVerbs{
    Verb{"create", 2, SIZE_MAX, "'create ID=MEMORY...' is", create_sessions},
    Verb{"sessions", 1, 1, "sessions", list_sessions},
    Verb{"session", 2, 2, "'session ID' is", show_session},
    Verb{"close", 2, SIZE_MAX, "'close ID...' is", close_sessions},
    Verb{"complete", 2, 2, "'complete ID' is", complete_session},
    Verb{"prefetch", 2, 3, "'prefetch ID' is", prefetch_list},
    Verb{"pause-prefetch", 2, 2, "'pause-prefetch ID' is", pause_prefetch},
    Verb{"mark", 3, 3, "'mark ID NAME' is", mark_trace},
    Verb{"trace", 2, 3, "'trace ID [FILE]' is", trace_session},
    Verb{"hung", 1, 1, "hung", list_hung_guests},
    Verb{"drain", 1, 1, "drain", drain},
    Verb{"upgrade", 1, 2, "'upgrade [PROGRAM]' is", upgrade_server},
    Verb{"health", 1, 1, "health", print_server},
    Verb{"stats", 1, 1, "stats", print_server},
    Verb{"metrics", 1, 1, "metrics", print_server},
};

const Verb& find_verb(const std::vector<std::string>& operands) {
  if (operands.empty()) {
    throw base::UsageError("too few operands: a VERB is needed");
  }
  const auto* found = std::ranges::find(kVerbs, operands[0], &Verb::name);
  if (found == kVerbs.end()) {
    throw base::UsageError("unknown verb " + base::quoted(operands[0]));
  }
  return *found;
}

// Rejects options that do not apply to the verb.
void check_options(const base::ParsedOptions& options, std::string_view verb) {
  const auto belongs = [&](const char* to, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (verb != to && options.has(name)) {
        throw base::UsageError("--" + std::string(name) + " applies only to " + to);
      }
    }
  };
  belongs("create", {"hot", "trace", "window", "window-factor", "lazy", "on-failure", "on-refusal",
                     "peer-uid", "cache-key", "instance-id", "replace"});
  belongs("complete", {"rate", "no-wait"});
  if (options.has("trace") && options.operands().size() > 2) {
    throw base::UsageError(
        "--trace applies to one session only, because two cannot write one file");
  }
}

base::Options make_options() {
  base::Options options("uffd-ctl", "[--control SOCK] VERB [OPERAND]...",
                        "Control a running uffd-serve --control.");
  options.value("control", "SOCK", "the server's socket ($SNAPFORK_PAGER, run directory)")
      .value("t,timeout", "S", "time limit of an answer (30); complete has none")
      .group("create");
  add_session_options(options);
  add_serving_options(options);
  options.value("cache-key", "KEY", "a label")
      .value("instance-id", "ID", "another label (default: the session's id)")
      .flag("replace", "close a different session that has this id")
      .group("complete")
      .value("rate", "BYTES", "install at most BYTES per second")
      .flag("no-wait", "return as soon as it has started")
      .footer(
          "Verbs:\n"
          "  create ID=MEMORY...  create sessions; print ID and socket of each\n"
          "  sessions             print ID, state and VMM pid of each\n"
          "  session ID           print all details of one, as JSON\n"
          "  close ID...          accept no VMM; a connected one is still served\n"
          "  complete ID          install all memory, so that it needs no server\n"
          "  prefetch ID [LIST]   install a hot list, or continue after a pause\n"
          "  pause-prefetch ID    pause hot lists and completion\n"
          "  trace ID [FILE]      begin a trace of a VMM that is served, or end it\n"
          "  mark ID NAME         write a mark into the trace\n"
          "  hung                 print ID and VMM pid of guests of a killed server\n"
          "  drain                accept no new sessions; exit after the last one\n"
          "  upgrade [PROGRAM]    serve all guests by another uffd-serve (keeper)\n"
          "  health, stats        print health or counters, as JSON; metrics: Prometheus\n"
          "Exit: 0 done; 1 no server, or it refused; 2 usage; 4, 5 failed: uffd-ctl(1).");
  return options;
}

}  // namespace

int run_control_command(int argc, char** argv) {
  base::Options definition = make_options();
  const std::optional<base::ParsedOptions> options = definition.parse(argc, argv);
  if (!options) {
    return 0;
  }
  const Verb& verb = find_verb(options->operands());
  options->require_operands(verb.least_operands, verb.most_operands, verb.usage);
  check_options(*options, verb.name);
  // The slowest request opens an image: the server finds its holes and may clone it.
  constexpr int64_t kDefaultTimeoutMs = 30'000;
  verb.run(
      {.options = *options,
       .control = control_socket_of(*options),
       .timeout = std::chrono::milliseconds(options->seconds_as_ms("timeout", kDefaultTimeoutMs))});
  return 0;
}

}  // namespace pager
