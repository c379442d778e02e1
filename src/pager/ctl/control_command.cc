// SPDX-License-Identifier: Apache-2.0
// The options and verbs of uffd-ctl.
#include "pager/ctl/control_command.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "pager/ctl/control_client.h"
#include "pager/ctl/hung_guests.h"
#include "pager/ctl/reply_fields.h"
#include "pager/faults/window.h"

namespace pager {
namespace {

using base::JsonObject;

// The server has another working directory, so paths are sent as absolute paths.
std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).string();
}

// Returns the target of a session. Bytes that are not allowed in a target are rejected; the server
// would replace them by '-' anyway.
std::string target_of(const std::string& id) {
  for (const char c : id) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte >= 0x7f || c == '/' || c == '?' || c == '#' || c == '%') {
      throw base::UsageError("bad session id " + base::quoted(id));
    }
  }
  if (id.empty()) {
    throw base::UsageError("bad session id ''");
  }
  return "/sessions/" + id;
}

// Returns the request that creates a session.
std::string session_body(const std::string& id, const std::string& memory,
                         const base::ParsedOptions& options) {
  base::JsonLine json;
  json.text("session_id", id)
      .text("instance_id", options.value_or("instance-id", id))
      .text("backing_memory_path", absolute(memory))
      .text("cache_key", options.value_or("cache-key", ""));
  if (const auto hot = options.value("hot")) {
    json.text("hot_list_path", absolute(*hot));
  }
  if (const auto trace = options.value("trace")) {
    json.text("trace_path", absolute(*trace));
  }
  if (options.has("on-failure")) {
    json.text("on_failure", options.choice("on-failure", {"poison", "kill"}));
  }
  if (options.has("on-refusal")) {
    json.text("on_refusal", options.choice("on-refusal", {"kill", "close"}));
  }
  if (options.has("peer-uid")) {
    constexpr int64_t kMaxUid = 0xfffffffe;
    json.number("peer_uid", options.number("peer-uid", 0, kMaxUid, 0));
  }
  if (options.value("window") == "auto") {
    json.text("window", "auto");
  } else if (options.has("window")) {
    json.number("window", options.number("window", 1, static_cast<int64_t>(Window::kLargest), 1));
  } else if (options.has("lazy")) {
    json.boolean("lazy", true);
  }
  if (options.has("replace")) {
    json.boolean("replace", true);
  }
  return json.str();
}

// One invocation of a verb.
struct Call {
  const base::ParsedOptions& options;
  std::string control;
  std::chrono::milliseconds timeout;

  ControlClient connect() const { return {control, timeout}; }
  bool json() const { return options.has("json"); }
  const std::vector<std::string>& operands() const { return options.operands(); }
};

void create(const Call& call) {
  const base::ParsedOptions& options = call.options;
  std::vector<std::pair<std::string, std::string>> bodies;
  for (size_t i = 1; i < options.operands().size(); ++i) {
    const std::string& operand = options.operands()[i];
    const size_t equals = operand.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == operand.size()) {
      throw base::UsageError("bad operand " + base::quoted(operand) + ": ID=MEMORY is needed");
    }
    const std::string id = operand.substr(0, equals);
    static_cast<void>(target_of(id));
    bodies.emplace_back(id, session_body(id, operand.substr(equals + 1), options));
  }
  ControlClient control = call.connect();
  for (const auto& [id, body] : bodies) {
    const JsonObject reply = control.ask_json("POST", "/sessions", body);
    // Parts of the request that failed, although the session was created.
    const std::vector<std::string> warnings = texts_at(reply, "warnings");
    for (const std::string& warning : warnings) {
      base::say_warning("session " + base::quoted(text_at(reply, "session_id")) + ": " + warning);
    }
    if (call.json()) {
      base::write_line_out(base::JsonLine("session")
                               .text("session_id", text_at(reply, "session_id"))
                               .path("uffd_socket_path", text_at(reply, "uffd_socket_path"))
                               .text("pager_version", text_at(reply, "pager_version"))
                               .raw("warnings", base::json_array(warnings))
                               .str());
    } else {
      base::write_line_out(text_at(reply, "session_id") + "\t" +
                           text_at(reply, "uffd_socket_path"));
    }
  }
}

std::string complete_body(const base::ParsedOptions& options) {
  base::JsonLine json;
  json.boolean("wait", !options.has("no-wait"));
  if (options.has("rate")) {
    json.number("bytes_per_second",
                options.number("rate", 1, std::numeric_limits<int64_t>::max(), 1));
  }
  return json.str();
}

// A record: the members of a session after type and version.
std::string session_record(const JsonObject& session) {
  JsonObject record;
  record.set("type", R"("session")");
  record.set("v", "1");
  for (const JsonObject::Member& member : session.members()) {
    record.set(member.key, member.raw);
  }
  return record.compact();
}

void list_sessions(const Call& call) {
  const JsonObject reply = call.connect().ask_json("GET", "/sessions");
  for (const JsonObject& session : objects_at(reply, "sessions")) {
    base::write_line_out(call.json()
                             ? session_record(session)
                             : text_at(session, "session_id") + "\t" + text_at(session, "state") +
                                   "\t" + std::to_string(number_at(session, "vmm_pid")));
  }
}

void list_hung_guests(const Call& call) {
  for (const HungGuest& guest : find_hung_guests(call.control, call.timeout)) {
    base::write_line_out(
        call.json() ? base::JsonLine("hung")
                          .text("session_id", guest.session_id)
                          .number("vmm_pid", guest.vmm_pid)
                          .number("vmm_start_time", static_cast<int64_t>(guest.vmm_start_time))
                          .path("record", guest.record)
                          .str()
                    : guest.session_id + "\t" + std::to_string(guest.vmm_pid));
  }
}

void show_session(const Call& call) {
  const std::string target = target_of(call.operands()[1]);
  base::write_line_out(call.connect().ask("GET", target));
}

void close_sessions(const Call& call) {
  std::vector<std::string> targets;
  std::transform(call.operands().begin() + 1, call.operands().end(), std::back_inserter(targets),
                 target_of);
  ControlClient control = call.connect();
  for (const std::string& target : targets) {
    control.ask("POST", target + "/close");
  }
}

void complete(const Call& call) {
  const std::string target = target_of(call.operands()[1]);
  const std::string body = complete_body(call.options);
  call.connect().ask_and_wait("POST", target + "/complete", body);
}

void prefetch(const Call& call) {
  const std::vector<std::string>& operands = call.operands();
  const std::string target = target_of(operands[1]);
  call.connect().ask("POST", target + "/prefetch",
                     operands.size() > 2
                         ? base::JsonLine().text("hot_list_path", absolute(operands[2])).str()
                         : "");
}

void pause_prefetch(const Call& call) {
  const std::string target = target_of(call.operands()[1]);
  call.connect().ask("POST", target + "/pause-prefetch");
}

void drain(const Call& call) {
  call.connect().ask("POST", "/drain");
}

// health, stats and metrics: the path has the name of the verb.
void print_server(const Call& call) {
  base::write_line_out(call.connect().ask("GET", "/" + call.operands()[0]));
}

struct Verb {
  std::string_view name;
  size_t least_operands;  // the verb is the first
  size_t most_operands;
  const char* usage;
  void (*run)(const Call& call);
};

constexpr std::array kVerbs{
    Verb{"create", 2, SIZE_MAX, "'create ID=MEMORY...' is", create},
    Verb{"sessions", 1, 1, "sessions", list_sessions},
    Verb{"session", 2, 2, "'session ID' is", show_session},
    Verb{"close", 2, SIZE_MAX, "'close ID...' is", close_sessions},
    Verb{"complete", 2, 2, "'complete ID' is", complete},
    Verb{"prefetch", 2, 3, "'prefetch ID' is", prefetch},
    Verb{"pause-prefetch", 2, 2, "'pause-prefetch ID' is", pause_prefetch},
    Verb{"hung", 1, 1, "hung", list_hung_guests},
    Verb{"drain", 1, 1, "drain", drain},
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
  belongs("create", {"hot", "trace", "window", "lazy", "on-failure", "on-refusal", "peer-uid",
                     "cache-key", "instance-id", "replace"});
  belongs("complete", {"rate", "no-wait"});
  if (options.has("trace") && options.operands().size() > 2) {
    throw base::UsageError(
        "--trace applies to one session only, because two cannot write one file");
  }
  if (options.has("lazy") && options.has("window")) {
    throw base::UsageError("--window and --lazy exclude each other");
  }
}

base::Options make_options() {
  base::Options options("uffd-ctl", "[--control SOCK] VERB [OPERAND]...",
                        "Control a running uffd-serve --control.");
  options.value("control", "SOCK", "the server's socket ($SNAPFORK_PAGER, run directory)")
      .value("t,timeout", "S", "time limit of an answer (30); complete has none")
      .group("create")
      .value("hot", "LIST", "install the pages of this hot list first")
      .value("trace", "FILE", "write demand faults to FILE")
      .value("window", "N", "pages to install around a fault: auto, or 1 to 512")
      .flag("lazy", "install only faulting pages and the hot list")
      .value("on-failure", "WHAT", "if a page cannot be read: poison or kill")
      .value("on-refusal", "WHAT", "if a VMM cannot be served: kill or close")
      .value("peer-uid", "UID", "allow this user to connect (owner of the sockets)")
      .value("cache-key", "KEY", "a label")
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
          "  hung                 print ID and VMM pid of guests of a killed server\n"
          "  drain                accept no new sessions; exit after the last one\n"
          "  health, stats        print the server's health or counters, as JSON\n"
          "  metrics              print the server's metrics for Prometheus\n\n"
          "Exit: 0 done; 1 no server listens, or it refused; 2 usage; 5 system error, or\n"
          "the server does not answer. See uffd-ctl(1).");
  return options;
}

}  // namespace

std::string default_control_path() {
  const auto from_environment = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (std::string path = from_environment("SNAPFORK_PAGER"); !path.empty()) {
    return path;
  }
  if (::geteuid() == 0) {
    return "/run/snapfork/pager.sock";
  }
  const std::string runtime = from_environment("XDG_RUNTIME_DIR");
  if (runtime.empty()) {
    throw base::UsageError(
        "no control socket: use --control, or set SNAPFORK_PAGER or XDG_RUNTIME_DIR");
  }
  return runtime + "/snapfork/pager.sock";
}

int run_control_command(int argc, char** argv) {
  base::Options definition = make_options();
  const std::optional<base::ParsedOptions> options = definition.parse(argc, argv);
  if (!options) {
    return 0;
  }
  const Verb& verb = find_verb(options->operands());
  options->require_operands(verb.least_operands, verb.most_operands, verb.usage);
  check_options(*options, verb.name);
  const std::string given = options->value_or("control", "");
  // The slowest request opens an image: the server finds its holes and may clone it.
  constexpr int64_t kDefaultTimeoutMs = 30'000;
  verb.run(
      {.options = *options,
       .control = given.empty() ? default_control_path() : given,
       .timeout = std::chrono::milliseconds(options->seconds_as_ms("timeout", kDefaultTimeoutMs))});
  return 0;
}

}  // namespace pager
