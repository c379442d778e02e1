// SPDX-License-Identifier: Apache-2.0
#include "pager/ctl/control_command.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
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
#include "pager/faults/window.h"

namespace pager {
namespace {

using Json = nlohmann::json;

// The server has a directory of its own: paths go to it in full.
std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).string();
}

// The text at `key`, "" when there is none.
std::string text_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// An id as one component of a target: what the server would make of any other byte is '-' anyway.
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

// How a session is to be served, as fields of its request. Paths become whole ones.
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

// What the server did not do, though the session was made.
std::vector<std::string> warnings_of(const Json& reply) {
  std::vector<std::string> warnings;
  for (const Json& warning : reply.value("warnings", Json::array())) {
    if (warning.is_string()) {
      warnings.push_back(warning.get<std::string>());
    }
  }
  return warnings;
}

void create(ControlClient& control, const base::ParsedOptions& options) {
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
  for (const auto& [id, body] : bodies) {
    const Json reply = control.ask_json("POST", "/sessions", body);
    const std::vector<std::string> warnings = warnings_of(reply);
    for (const std::string& warning : warnings) {
      base::say_warning("session " + base::quoted(text_at(reply, "session_id")) + ": " + warning);
    }
    if (options.has("json")) {
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

void list_sessions(ControlClient& control, bool json) {
  const Json reply = control.ask_json("GET", "/sessions");
  for (const Json& session : reply.value("sessions", Json::array())) {
    if (json) {
      Json record{{"type", "session"}, {"v", 1}};
      record.update(session);
      base::write_line_out(record.dump());
    } else {
      base::write_line_out(text_at(session, "session_id") + "\t" + text_at(session, "state") +
                           "\t" + std::to_string(session.value("vmm_pid", 0)));
    }
  }
}

void list_hung_guests(const std::string& path, std::chrono::milliseconds patience, bool json) {
  for (const HungGuest& guest : find_hung_guests(path, patience)) {
    base::write_line_out(
        json ? base::JsonLine("hung")
                   .text("session_id", guest.session_id)
                   .number("vmm_pid", guest.vmm_pid)
                   .number("vmm_start_time", static_cast<int64_t>(guest.vmm_start_time))
                   .path("record", guest.record)
                   .str()
             : guest.session_id + "\t" + std::to_string(guest.vmm_pid));
  }
}

// Each option is for one verb.
void check_options(const base::ParsedOptions& options, const std::string& verb) {
  const auto belongs = [&](const char* to, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (verb != to && options.has(name)) {
        throw base::UsageError("--" + std::string(name) + " is for " + to);
      }
    }
  };
  belongs("create", {"hot", "trace", "window", "lazy", "on-failure", "on-refusal", "peer-uid",
                     "cache-key", "instance-id", "replace"});
  belongs("complete", {"rate", "no-wait"});
  if (options.has("trace") && options.operands().size() > 2) {
    throw base::UsageError("--trace is for one session: two cannot write one file");
  }
  if (options.has("lazy") && options.has("window")) {
    throw base::UsageError("--window and --lazy exclude each other");
  }
}

base::Options make_options() {
  base::Options options("uffd-ctl", "[--control SOCK] VERB [OPERAND]...",
                        "Ask a running uffd-serve --control.");
  options.value("control", "SOCK", "the server's socket ($SNAPFORK_PAGER, run directory)")
      .value("t,timeout", "S", "wait so long for an answer (30); complete has no limit")
      .group("For create")
      .value("hot", "LIST", "install these hot pages first")
      .value("trace", "FILE", "write the demand faults to FILE")
      .value("window", "N", "pages to install around a fault: auto, or 1 to 512")
      .flag("lazy", "nothing but what is asked for, and the hot list")
      .value("on-failure", "WHAT", "a page that cannot be read: poison or kill")
      .value("on-refusal", "WHAT", "a VMM that cannot be served: kill or close")
      .value("peer-uid", "UID", "give the sockets to this user")
      .value("cache-key", "KEY", "a label")
      .value("instance-id", "ID", "another label (the session's id)")
      .flag("replace", "close a session of this id that is for something else")
      .group("For complete")
      .value("rate", "BYTES", "install at most so many a second")
      .flag("no-wait", "return when it has begun")
      .footer(
          "Verbs:\n"
          "  create ID=MEMORY...  make sessions; prints ID and socket of each\n"
          "  sessions             ID, state and VMM pid of each\n"
          "  session ID           all about one, as JSON\n"
          "  close ID...          no new connection; a VMM that lives is served on\n"
          "  complete ID          give it all its memory: it needs no server then\n"
          "  prefetch ID [LIST]   a hot list for a guest that runs; without: go on\n"
          "  pause-prefetch ID    stop either of them for now\n"
          "  hung                 ID and VMM pid of guests whose server was killed\n"
          "  drain                no new sessions; the server ends with the last one\n"
          "  health, stats        of the server, as JSON\n"
          "  metrics              of the server, as Prometheus reads them\n\n"
          "Exit status: 0 done, 1 no server there or it said no, 2 usage, 5 system, or\n"
          "the server does not answer.\n"
          "See uffd-ctl(1).");
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
        "no control socket: give --control, or set SNAPFORK_PAGER or XDG_RUNTIME_DIR");
  }
  return runtime + "/snapfork/pager.sock";
}

int run_control_command(int argc, char** argv) {
  base::Options definition = make_options();
  const std::optional<base::ParsedOptions> options = definition.parse(argc, argv);
  if (!options) {
    return 0;
  }
  const std::vector<std::string>& operands = options->operands();
  if (operands.empty()) {
    throw base::UsageError("too few operands: a VERB is needed");
  }
  const std::string& verb = operands[0];
  const bool wants_one =
      verb == "session" || verb == "complete" || verb == "prefetch" || verb == "pause-prefetch";
  const bool wants_some = verb == "create" || verb == "close";
  const bool wants_none = verb == "sessions" || verb == "health" || verb == "stats" ||
                          verb == "metrics" || verb == "drain" || verb == "hung";
  if (!wants_one && !wants_some && !wants_none) {
    throw base::UsageError("unknown verb " + base::quoted(verb));
  }
  options->require_operands(wants_none ? 1 : 2,
                            wants_none  ? 1
                            : wants_one ? (verb == "prefetch" ? 3 : 2)
                                        : SIZE_MAX,
                            "'" + verb +
                                (verb == "create"  ? " ID=MEMORY..."
                                 : verb == "close" ? " ID..."
                                                   : " ID") +
                                "' is");
  check_options(*options, verb);
  const std::string given = options->value_or("control", "");
  const std::string path = given.empty() ? default_control_path() : given;
  // Opening an image finds its holes and may clone it: longer than anything else takes here.
  constexpr int64_t kPatienceMs = 30'000;
  const std::chrono::milliseconds patience(options->seconds_as_ms("timeout", kPatienceMs));
  if (verb == "hung") {
    list_hung_guests(path, patience, options->has("json"));
    return 0;
  }
  ControlClient control(path, patience);
  if (verb == "create") {
    create(control, *options);
  } else if (verb == "sessions") {
    list_sessions(control, options->has("json"));
  } else if (verb == "session") {
    base::write_line_out(control.ask("GET", target_of(operands[1])));
  } else if (verb == "complete") {
    control.ask_and_wait("POST", target_of(operands[1]) + "/complete", complete_body(*options));
  } else if (verb == "prefetch") {
    control.ask("POST", target_of(operands[1]) + "/prefetch",
                operands.size() > 2
                    ? base::JsonLine().text("hot_list_path", absolute(operands[2])).str()
                    : "");
  } else if (verb == "pause-prefetch") {
    control.ask("POST", target_of(operands[1]) + "/pause-prefetch");
  } else if (verb == "close") {
    for (size_t i = 1; i < operands.size(); ++i) {
      control.ask("POST", target_of(operands[i]) + "/close");
    }
  } else if (verb == "drain") {
    control.ask("POST", "/drain");
  } else {
    base::write_line_out(control.ask("GET", "/" + verb));
  }
  return 0;
}

}  // namespace pager
