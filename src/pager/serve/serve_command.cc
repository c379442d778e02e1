// SPDX-License-Identifier: Apache-2.0
// Runs a server in the foreground or as a service, from its options to its summary.
#include "pager/serve/serve_command.h"

#include <unistd.h>

#include <optional>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/output.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "pager/kernel/features.h"
#include "pager/serve/control_api.h"
#include "pager/serve/control_server.h"
#include "pager/serve/pager.h"
#include "pager/serve/serve_options.h"
#include "pager/serve/server_process.h"
#include "pager/serve/service_dir.h"
#include "pager/serve/session_report.h"
#include "store/inherited_locks.h"

namespace pager {
namespace {

void say_ready(base::Fd& ready) {
  if (ready) {
    base::write_full(ready.get(), "\n", "the descriptor of --ready-fd");
    ready.reset();
  }
}

void serve_file(ServeSettings& settings, int signals) {
  Endpoint endpoint;
  endpoint.id = settings.socket;
  endpoint.socket_path = settings.socket;
  endpoint.claim = base::SocketClaim::by_lock;
  endpoint.many = true;
  endpoint.serving = settings.serving;
  endpoint.image = Image::open(settings.memory);
  HotListCache hot_files;
  if (const std::string& hot = settings.serving.hot_list_path; !hot.empty()) {
    endpoint.hot = hot_files.open(hot, *endpoint.image);
  }
  Pager pager({.end = settings.once ? Pager::End::after_last_client : Pager::End::when_told,
               .handshake_timeout = settings.handshake_timeout,
               .record_dir = "",
               .signals = signals});
  if (const std::string& trace = settings.serving.trace_path; !trace.empty()) {
    hot::TraceWriter::check(trace);
  }
  pager.open(std::move(endpoint));
  say_ready(settings.ready);
  pager.run();
  release_signals(signals);
  const Totals totals = pager.totals();
  if (settings.json) {
    base::write_line_out(summary_json(totals));
  }
  if (const uint64_t poisoned = totals[Count::pages_poisoned]; poisoned > 0) {
    throw base::Error(base::ExitCode::system, std::to_string(poisoned) + " pages of " +
                                                  base::quoted(settings.memory) +
                                                  " could not be read and were poisoned");
  }
}

void serve_sessions(ServeSettings& settings, int signals) {
  const ServicePaths& paths = *settings.service;
  make_control_dir(paths);
  const base::Fd sessions = claim_sessions_dir(paths.sessions);
  const base::UnixListener listener(paths.control, base::SocketClaim::by_lock);
  remove_leftovers(paths.sessions);
  const PidFile pid_file(paths.pid_file);
  Pager pager({.end = settings.exit_when_idle ? Pager::End::when_idle : Pager::End::when_told,
               .handshake_timeout = settings.handshake_timeout,
               .connect_timeout = settings.connect_timeout,
               .record_dir = paths.sessions,
               .signals = signals});
  ControlApi api(pager, {.socket_dir = paths.sessions,
                         .version = settings.version,
                         .needs_cache_key = settings.needs_cache_key,
                         .serving = settings.serving,
                         // hypeman creates a session again at each restore, so its layout replaces
                         // sessions.
                         .replace = settings.needs_cache_key});
  const ControlServer server(listener, api);
  say_ready(settings.ready);
  pager.run();
  release_signals(signals);
  if (settings.json) {
    base::write_line_out(summary_json(pager.totals()));
  }
  limit_end([paths] {
    ::unlink(paths.control.c_str());
    if (!paths.pid_file.empty()) {
      ::unlink(paths.pid_file.c_str());
    }
  });
}

void print_features(bool json) {
  for (size_t i = 0; i < kFeatures; ++i) {
    const auto feature = static_cast<Feature>(i);
    const FeatureText& text = text_of(feature);
    const std::string_view found = support_name(features().support(feature));
    base::write_line_out(json ? base::JsonLine("feature")
                                    .text("name", text.name)
                                    .text("found", found)
                                    .text("call", text.call)
                                    .text("since", text.since)
                                    .text("without", text.fallback)
                                    .str()
                              : std::string(text.name) + "\t" + std::string(found) + "\t" +
                                    std::string(text.call) + ", Linux " + std::string(text.since) +
                                    "\twithout: " + std::string(text.fallback));
  }
}

}  // namespace

int run_serve_command(int argc, char** argv) {
  base::Options definition = make_serve_options();
  const std::optional<base::ParsedOptions> options = definition.parse(argc, argv);
  if (!options) {
    return 0;
  }
  features().probe(options->value_or("without", ""));
  if (options->has("features")) {
    print_features(options->has("json"));
    return 0;
  }
  ServeSettings settings = read_serve_settings(*options);
  if (settings.service) {
    store::close_inherited_locks();
  }
  const base::Fd signals = take_signals();
  base::write_messages_in_background();
  say_missing_features();
  raise_limits();
  protect_from_oom_killer();
  try {
    if (settings.service) {
      serve_sessions(settings, signals.get());
    } else {
      serve_file(settings, signals.get());
    }
  } catch (...) {
    // Leaves the descriptor open until exit. A process that waits for its close then finds the
    // error message, which is written later than this.
    static_cast<void>(settings.ready.release());
    throw;
  }
  return 0;
}

}  // namespace pager
