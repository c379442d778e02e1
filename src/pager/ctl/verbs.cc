// SPDX-License-Identifier: Apache-2.0
// Sends the requests of each verb and prints the replies.
#include "pager/ctl/verbs.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/output.h"
#include "pager/ctl/addresses.h"
#include "pager/ctl/hung_guests.h"
#include "pager/ctl/reply_fields.h"
#include "pager/serve/control_request.h"

namespace pager {
namespace {

using base::JsonObject;

// The server has another working directory, so paths are sent as absolute paths.
std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).string();
}

// The fields that all sessions of one call have in common.
SessionRequest request_of(const base::ParsedOptions& options) {
  SessionRequest request{.cache_key = options.value_or("cache-key", ""),
                         .serving = read_serving_options(options)};
  for (std::string* path : {&request.serving.hot_list_path, &request.serving.trace_path}) {
    *path = path->empty() ? "" : absolute(*path);
  }
  if (options.has("replace")) {
    request.replace = true;
  }
  return request;
}

// Returns the request for an operand ID=MEMORY.
SessionRequest request_for(const std::string& operand, const Call& call, SessionRequest request) {
  const size_t equals = operand.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == operand.size()) {
    throw base::UsageError("bad operand " + base::quoted(operand) + ": ID=MEMORY is needed");
  }
  request.id = operand.substr(0, equals);
  static_cast<void>(session_target(request.id));
  request.instance_id = call.options.value_or("instance-id", request.id);
  request.memory_path = absolute(operand.substr(equals + 1));
  return request;
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

}  // namespace

void create_sessions(const Call& call) {
  const SessionRequest common = request_of(call.options);
  std::vector<std::string> bodies;
  for (size_t i = 1; i < call.operands().size(); ++i) {
    bodies.push_back(compose_session_request(request_for(call.operands()[i], call, common)));
  }
  ControlClient control = call.connect();
  for (const std::string& body : bodies) {
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
  const std::string target = session_target(call.operands()[1]);
  base::write_line_out(call.connect().ask("GET", target));
}

void close_sessions(const Call& call) {
  std::vector<std::string> targets;
  std::transform(call.operands().begin() + 1, call.operands().end(), std::back_inserter(targets),
                 session_target);
  ControlClient control = call.connect();
  for (const std::string& target : targets) {
    control.ask("POST", target + "/close");
  }
}

void complete_session(const Call& call) {
  const std::string target = session_target(call.operands()[1]);
  const std::string body = complete_body(call.options);
  call.connect().ask_and_wait("POST", target + "/complete", body);
}

void prefetch_list(const Call& call) {
  const std::vector<std::string>& operands = call.operands();
  const std::string target = session_target(operands[1]);
  call.connect().ask("POST", target + "/prefetch",
                     operands.size() > 2
                         ? base::JsonLine().text("hot_list_path", absolute(operands[2])).str()
                         : "");
}

void pause_prefetch(const Call& call) {
  const std::string target = session_target(call.operands()[1]);
  call.connect().ask("POST", target + "/pause-prefetch");
}

void mark_trace(const Call& call) {
  const std::vector<std::string>& operands = call.operands();
  call.connect().ask("POST", session_target(operands[1]) + "/mark",
                     base::JsonLine().text("name", operands[2]).str());
}

void trace_session(const Call& call) {
  const std::vector<std::string>& operands = call.operands();
  const std::string path = operands.size() > 2 ? absolute(operands[2]) : "";
  call.connect().ask("POST", session_target(operands[1]) + "/trace",
                     base::JsonLine().text("trace_path", path).str());
}

void drain(const Call& call) {
  call.connect().ask("POST", "/drain");
}

// health, stats and metrics: the path has the name of the verb.
void print_server(const Call& call) {
  base::write_line_out(call.connect().ask("GET", "/" + call.operands()[0]));
}

}  // namespace pager
