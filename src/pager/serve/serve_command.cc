// SPDX-License-Identifier: Apache-2.0
// Runs a server in the foreground or as a service, from its options to its summary.
#include "pager/serve/serve_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/output.h"
#include "base/unix_socket.h"
#include "pager/keep/keeper_link.h"
#include "pager/kernel/closer.h"
#include "pager/kernel/features.h"
#include "pager/serve/control_api.h"
#include "pager/serve/control_server.h"
#include "pager/serve/crash_mark.h"
#include "pager/serve/pager.h"
#include "pager/serve/prepared.h"
#include "pager/serve/recover.h"
#include "pager/serve/run_dir.h"
#include "pager/serve/serve_options.h"
#include "pager/serve/server_process.h"
#include "pager/serve/service_dir.h"
#include "pager/serve/session_report.h"
#include "store/inherited_locks.h"

namespace pager {
namespace {

void say_ready(base::Fd& ready) {
  notify_ready();
  if (ready) {
    base::write_full(ready.get(), "\n", "the descriptor of --ready-fd");
    ready.reset();
  }
}

// The side of a server that has a keeper; without one it does nothing.
struct KeptServing {
  std::optional<KeeperLink> link;
  HeldThings things;
  Prepared prepared;
  Closer closer;
  std::vector<std::string> options;  // of this server, without those of its keeper

  KeeperLink* keeper() { return link ? &*link : nullptr; }
  // A server after a keeper that did not have everything starts like the first one.
  bool takes_over() const { return link && link->generation() > 1 && things.contains(kServiceKey); }

  // Waits until this server has to serve. Returns false if the keeper has ended before.
  bool wait(base::Fd socket) {
    if (!socket) {
      return true;
    }
    link.emplace(std::move(socket));
    std::optional<HeldThings> held = link->wait_to_serve(
        {.prepare = [this](uint64_t key, const HeldThing& thing) { prepared.prepare(key, thing); },
         .discard =
             [this](uint64_t key, HeldThing thing) {
               prepared.forget(key);
               closer.take(key, std::move(thing));
             },
         .problems = [this] { return prepared.report_problems(); }});
    if (!held) {
      return false;
    }
    things = std::move(*held);
    mark_crashes(link->page());
    return true;
  }
};

// The options that the keeper gives to each server, without those that it adds itself.
std::vector<std::string> options_for_servers(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front().starts_with("--keeper-fd=")) {
    words.erase(words.begin());
  }
  if (!words.empty() && words.front() == "--successor") {
    words.erase(words.begin());
  }
  return words;
}

Endpoint endpoint_of(const ServeSettings& settings) {
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
  if (const std::string& trace = settings.serving.trace_path; !trace.empty()) {
    hot::TraceWriter::check(trace);
  }
  return endpoint;
}

void serve_file(ServeSettings& settings, int signals, KeptServing& kept) {
  std::optional<Endpoint> endpoint;
  if (!kept.takes_over()) {
    endpoint = endpoint_of(settings);
  }
  Pager pager({.end = settings.once ? Pager::End::after_last_client : Pager::End::when_told,
               .handshake_timeout = settings.handshake_timeout,
               .record_dir = "",
               .keeper = kept.keeper(),
               .options = kept.options,
               .signals = signals});
  if (endpoint) {
    pager.hold_service();
    pager.open(std::move(*endpoint));
  } else {
    pager.adopt(std::move(kept.things), kept.prepared);
  }
  say_ready(settings.ready);
  pager.run();
  if (pager.left()) {
    pager.leave();
  }
  pager.say_goodbye();
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

void serve_sessions(ServeSettings& settings, int signals, KeptServing& kept) {
  const ServicePaths& paths = *settings.service;
  RunDir run_dir = kept.takes_over() ? RunDir::adopt(paths, kept.things) : RunDir::claim(paths);
  Recovery recovery;
  if (!kept.takes_over()) {
    recovery = recover(paths.sessions, settings.on_lost);
    remove_leftovers(paths.sessions, recovery.kept);
    if (settings.recover && recovery.empty()) {
      base::say_info("no guest of a killed page server can be recovered in " +
                     base::quoted(paths.sessions));
      return;
    }
  }
  const PidFile pid_file(paths.pid_file);
  std::function<void()> start_control;
  Pager pager({.end = settings.exit_when_idle ? Pager::End::when_idle : Pager::End::when_told,
               .handshake_timeout = settings.handshake_timeout,
               .connect_timeout = settings.connect_timeout,
               .record_dir = paths.sessions,
               .keeper = kept.keeper(),
               .options = kept.options,
               .service = run_dir.descriptors(),
               .run_dir = &run_dir,
               .on_restored = [&] { start_control(); },
               .signals = signals});
  if (kept.takes_over()) {
    pager.adopt(std::move(kept.things), kept.prepared);
  } else {
    pager.hold_service(run_dir.listener().file());
    pager.recover(std::move(recovery), kept.prepared);
  }
  ControlApi api(pager, {.socket_dir = paths.sessions,
                         .version = settings.version,
                         .needs_cache_key = settings.needs_cache_key,
                         .serving = settings.serving,
                         // hypeman creates a session again at each restore, so its layout replaces
                         // sessions.
                         .replace = settings.needs_cache_key});
  std::list<ControlServer> servers;
  start_control = [&] { servers.emplace_back(run_dir.listener(), api); };
  start_control();
  say_ready(settings.ready);
  pager.run();
  if (pager.left()) {
    for (ControlServer& server : servers) {
      server.finish_requests();
    }
    pager.leave();
  }
  pager.say_goodbye();
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

// Executes uffd-keeper, the program in the same directory, with the other options.
[[noreturn]] void run_under_keeper(int argc, char** argv) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string keeper = self.parent_path() / "uffd-keeper";
  std::string name = "uffd-keeper";
  std::string dashes = "--";
  std::vector<char*> words{name.data(), dashes.data()};
  std::copy_if(argv + 1, argv + argc, std::back_inserter(words),
               [](const char* word) { return std::string_view(word) != "--keep"; });
  words.push_back(nullptr);
  ::execv(keeper.c_str(), words.data());
  base::throw_errno("cannot run " + base::quoted(keeper));
}

}  // namespace

int run_serve_command(int argc, char** argv) {
  base::Options definition = make_serve_options();
  const std::optional<base::ParsedOptions> options = definition.parse(argc, argv);
  if (!options) {
    return 0;
  }
  if (options->has("keep")) {
    run_under_keeper(argc, argv);
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
  const base::Fd signals = take_signals(settings.keeper ? kLeaveSignal : 0);
  base::write_messages_in_background();
  if (!settings.successor) {
    say_missing_features();
  }
  raise_limits();
  protect_from_oom_killer();
  try {
    KeptServing kept;
    kept.options = options_for_servers(argc, argv);
    if (!kept.wait(std::move(settings.keeper))) {
      return 0;
    }
    if (settings.service) {
      serve_sessions(settings, signals.get(), kept);
    } else {
      serve_file(settings, signals.get(), kept);
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
