// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta run-begin and stop.
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/effect.h"
#include "base/error.h"
#include "base/number.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/load_request.h"
#include "meta/flows/run_begin.h"
#include "meta/guest/stop_vmm.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "meta/verbs/load_options.h"
#include "store/files.h"

namespace meta {
namespace {

// A whole number of at least 1.
int number_option(const base::ParsedOptions& parsed, const std::string& option, int otherwise) {
  const std::optional<std::string> text = parsed.value(option);
  if (!text) {
    return otherwise;
  }
  const std::optional<int> number = base::parse_number<int>(*text);
  if (!number || *number < 1) {
    throw base::UsageError("bad value " + base::quoted(*text) + " for --" + option +
                           ": it must be a whole number of at least 1");
  }
  return *number;
}

}  // namespace

int run_begin_command(int argc, char** argv) {
  base::Options options("snapshot-meta run-begin", "[OPTION]... ID",
                        "Record the calling process as the VMM of a guest in Standby.");
  options.value("pid", "PID", "a process in this PID namespace (default: the caller)")
      .value("api-socket", "PATH", "the API socket of the VMM")
      .flag("prepared", "run-prepare was called under the lock that the caller holds")
      .flag("load-request", "print what load-request prints, with its options:");
  add_load_options(options);
  add_force(options);
  base::add_dry_run(options);
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const pid_t pid = number_option(parsed, "pid", ::getppid());
  const std::optional<std::string> api_socket = parsed.value("api-socket");
  // Before the record, because it can refuse the VMM.
  std::string request;
  if (parsed.has("load-request")) {
    LoadRequest load = parse_load_request(parsed, store, id);
    load.is_prepared = parsed.has("prepared");
    request = load_body_of_guest(store, load);
  }
  begin_run(store, id,
            {.pid = pid,
             .api_socket = api_socket ? store::absolute_path(*api_socket) : "",
             .force = force_of(parsed),
             .search = parsed.has("prepared") ? SearchProc::no : SearchProc::yes},
            effect);
  if (!request.empty()) {
    base::write_line_out(request);
  }
  announce(effect, "record process " + std::to_string(pid) + " as the VMM of '" + id + "'");
  return 0;
}

int stop_command(int argc, char** argv) {
  constexpr int64_t kTimeoutMs = 5'000;
  base::Options options("snapshot-meta stop", "[OPTION]... ID",
                        "End the VMM of a guest: SIGTERM, then SIGKILL.");
  options.value("timeout", "SECONDS", "time to wait after each signal (default: 5)")
      .value("ends-within", "SECONDS", "first wait that long without a signal (default: 0)");
  base::add_dry_run(options);
  options.footer(
      "Signals only the recorded process and the processes that the page server serves\n"
      "for the guest, and only if their start times match the record.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const auto limit = [&options = parsed](const char* name, int64_t otherwise) {
    return std::chrono::milliseconds(options.seconds_as_ms(name, otherwise));
  };
  stop_vmm(store, id, {.alone = limit("ends-within", 0), .signal = limit("timeout", kTimeoutMs)},
           effect);
  announce(effect, "end the VMM of '" + id + "'");
  return 0;
}

}  // namespace meta
