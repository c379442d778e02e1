// SPDX-License-Identifier: Apache-2.0
// uffd-ctl upgrade: orders an upgrade and waits for its outcome.
#include <poll.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/output.h"
#include "pager/ctl/reply_fields.h"
#include "pager/ctl/verbs.h"

namespace pager {
namespace {

using base::JsonObject;

// uffd-serve in the directory of this program: that of the package that is installed now.
std::string default_program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "uffd-serve";
}

JsonObject keeper_of(const JsonObject& health) {
  const std::string* raw = health.find("keeper");
  return raw != nullptr ? JsonObject::read(*raw).value_or(JsonObject()) : JsonObject();
}

// What the keeper reports. Nothing if the server that was asked has ended: the next one is asked.
std::optional<JsonObject> ask_keeper(const Call& call) {
  ControlClient control = call.connect();
  try {
    return keeper_of(control.ask_json("GET", "/health"));
  } catch (const base::Refused&) {
    return std::nullopt;
  }
}

}  // namespace

void upgrade_server(const Call& call) {
  const std::string program = call.operands().size() > 1
                                  ? std::filesystem::absolute(call.operands()[1]).string()
                                  : default_program();
  const uint64_t number = number_at(
      call.connect().ask_json("POST", "/upgrade", base::JsonLine().text("program", program).str()),
      "upgrade");
  const base::Deadline deadline = base::Deadline::after(call.timeout);
  for (;;) {
    const std::optional<JsonObject> keeper = ask_keeper(call);
    const std::string state = keeper ? text_at(*keeper, "upgrade") : "running";
    if (state == "done" || (keeper && number_at(*keeper, "upgrades") != number)) {
      const uint64_t pid = number_at(*keeper, "server_pid");
      const uint64_t stall_ns = number_at(*keeper, "stall_ns");
      constexpr uint64_t kNsPerUs = 1000;
      base::write_line_out(call.json() ? base::JsonLine("upgrade")
                                             .path("program", program)
                                             .number("server_pid", static_cast<int64_t>(pid))
                                             .number("generation", static_cast<int64_t>(number_at(
                                                                       *keeper, "generation")))
                                             .number("stall_ns", static_cast<int64_t>(stall_ns))
                                             .str()
                                       : program + "\t" + std::to_string(pid) + "\t" +
                                             std::to_string(stall_ns / kNsPerUs) + " us");
      return;
    }
    if (state == "rolled_back") {
      throw base::BadData("cannot upgrade to " + base::quoted(program) + ": " +
                          text_at(*keeper, "upgrade_problem") + "; process " +
                          std::to_string(number_at(*keeper, "server_pid")) + " serves on");
    }
    if (deadline.passed()) {
      throw base::Error(base::ExitCode::system,
                        "the upgrade to " + base::quoted(program) +
                            " takes longer than --timeout; see 'uffd-ctl health'");
    }
    constexpr int kInterval = 10;  // ms
    ::poll(nullptr, 0, kInterval);
  }
}

}  // namespace pager
