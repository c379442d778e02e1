#include "pager/serve_command.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/unix_socket.h"
#include "base/version.h"
#include "pager/control_api.h"
#include "pager/control_server.h"
#include "pager/pager.h"
#include "pager/service_dir.h"

namespace pager {
namespace {

struct Settings {
  std::string memory;  // foreground
  std::string socket;
  std::string hot;
  std::string trace;
  bool once = false;
  std::optional<uid_t> peer_uid;
  std::string control;  // service
  bool exit_when_idle = false;
  std::chrono::milliseconds handshake_timeout{};
  std::optional<Window> window;
  OnFailure on_failure = OnFailure::poison;
  base::Fd ready;
  bool json = false;
};

base::Options make_options() {
  base::Options options(
      "uffd-serve", "--mem FILE --socket PATH | --control SOCK | ctl VERB...",
      "Serve guest memory, page by page, to VMMs that connect with a userfaultfd.");
  options.group("Foreground")
      .value("mem", "FILE", "the memory file of a snapshot")
      .value("socket", "PATH", "where VMMs connect; any number at once")
      .value("hot", "LIST", "install these hot pages before they are asked for")
      .value("trace", "FILE", "write the demand faults to FILE, - for stdout")
      .flag("once", "end when the last client has left")
      .value("peer-uid", "UID", "give the socket to this user")
      .group("Service")
      .value("control", "SOCK", "take sessions over HTTP; their sockets: s/ beside it")
      .flag("exit-when-idle", "end with the last session")
      .group("Serving")
      .value("window", "N", "pages to install around a fault: auto, or 1 to 512")
      .flag("lazy", "nothing but what is asked for, and the hot list")
      .value("on-failure", "WHAT", "a page that cannot be read: poison or kill")
      .value("handshake-timeout", "S", "drop a client that says nothing (5)")
      .value("ready-fd", "N", "write a newline to descriptor N when it serves")
      .footer(
          "Exit status: 0 done, 1 another server is there, 2 usage, 4 bad file, 5 system,\n"
          "or a page had to be poisoned. See uffd-serve(1); uffd-serve ctl --help.");
  return options;
}

std::optional<Window> window_of(const base::ParsedOptions& options) {
  if (options.has("lazy")) {
    if (options.has("window")) {
      throw base::UsageError("--lazy and --window exclude each other");
    }
    return Window::lazy();
  }
  if (options.value_or("window", "auto") == "auto") {
    return std::nullopt;
  }
  return Window::fixed(static_cast<uint64_t>(
      options.number("window", 1, static_cast<int64_t>(Window::kLargest), 1)));
}

base::Fd ready_fd_of(const base::ParsedOptions& options) {
  constexpr int64_t kMaxFd = 1 << 20;
  const auto fd = static_cast<int>(options.number("ready-fd", 3, kMaxFd, -1));
  if (fd >= 0 && ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    throw base::UsageError("bad value '" + std::to_string(fd) + "' for --ready-fd: it is not open");
  }
  return base::Fd(fd);
}

Settings read_settings(const base::ParsedOptions& options) {
  options.require_operands(0, 0, "");
  const bool service = options.has("control");
  const auto exclusive = [&](const char* name, bool foreign) {
    if (foreign && options.has(name)) {
      throw base::UsageError("--" + std::string(name) +
                             (service ? " and --control exclude each other" : " needs --control"));
    }
  };
  for (const char* name : {"mem", "socket", "hot", "trace", "once", "peer-uid"}) {
    exclusive(name, service);
  }
  exclusive("exit-when-idle", !service);
  if (!service && !(options.has("mem") && options.has("socket"))) {
    throw base::UsageError("--mem and --socket, or --control, are needed");
  }
  Settings settings;
  settings.memory = options.value_or("mem", "");
  settings.socket = options.value_or("socket", "");
  settings.hot = options.value_or("hot", "");
  settings.trace = options.value_or("trace", "");
  settings.once = options.has("once");
  if (service) {
    // What a client is told of the sessions' sockets must not depend on its directory.
    settings.control = std::filesystem::absolute(*options.value("control")).string();
  }
  settings.exit_when_idle = options.has("exit-when-idle");
  constexpr int64_t kDefaultTimeoutMs = 5000;
  settings.handshake_timeout =
      std::chrono::milliseconds(options.seconds_as_ms("handshake-timeout", kDefaultTimeoutMs));
  settings.window = window_of(options);
  settings.on_failure = options.choice("on-failure", {"poison", "kill"}) == "kill"
                            ? OnFailure::kill
                            : OnFailure::poison;
  if (options.has("peer-uid")) {
    constexpr int64_t kMaxUid = 0xfffffffe;
    settings.peer_uid = static_cast<uid_t>(options.number("peer-uid", 0, kMaxUid, 0));
  }
  settings.ready = ready_fd_of(options);
  settings.json = options.has("json");
  if (settings.json && settings.trace == "-") {
    throw base::UsageError("--json and --trace - exclude each other: both write standard output");
  }
  base::check_socket_path(service ? settings.control : settings.socket);
  return settings;
}

// A session needs three descriptors and more; the default limit of 1024 is for programs that use
// select.
void raise_descriptor_limit() {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// Before there are threads, which inherit what is blocked.
base::Fd take_signals() {
  static_cast<void>(::signal(SIGPIPE, SIG_IGN));
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  base::Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) {
    base::throw_errno("cannot take signals");
  }
  return fd;
}

void say_ready(base::Fd& ready) {
  if (ready) {
    base::write_full(ready.get(), "\n", "the descriptor of --ready-fd");
    ready.reset();
  }
}

void print_summary(const Totals& totals) {
  const auto count = [&](Count which) { return static_cast<int64_t>(totals[which]); };
  base::write_line_out(base::JsonLine("summary")
                           .number("faults", count(Count::faults))
                           .number("pages_copied", count(Count::pages_copied))
                           .number("pages_zeroed", count(Count::pages_zeroed))
                           .number("pages_prefetched", count(Count::pages_prefetched))
                           .number("pages_removed", count(Count::pages_removed))
                           .number("pages_poisoned", count(Count::pages_poisoned))
                           .str());
}

void serve_file(Settings& settings, int signals) {
  Place place;
  place.id = settings.socket;
  place.socket_path = settings.socket;
  place.claim = base::SocketClaim::by_lock;
  place.many = true;
  place.peer_uid = settings.peer_uid;
  place.window = settings.window;
  place.on_failure = settings.on_failure;
  place.image = Image::open(settings.memory);
  HotFileStore hot_files;
  if (!settings.hot.empty()) {
    place.hot = hot_files.open(settings.hot, *place.image);
  }
  Pager pager({.end = settings.once ? Pager::End::after_last_client : Pager::End::when_told,
               .handshake_timeout = settings.handshake_timeout,
               .record_dir = "",
               .signals = signals});
  place.trace_path = settings.trace;
  if (!settings.trace.empty()) {
    place.trace = TraceWriter::open(settings.trace);
  }
  pager.open(std::move(place));
  say_ready(settings.ready);
  pager.run();
  const Totals totals = pager.totals();
  if (settings.json) {
    print_summary(totals);
  }
  if (const uint64_t poisoned = totals[Count::pages_poisoned]; poisoned > 0) {
    throw base::Error(base::ExitCode::system, std::to_string(poisoned) + " pages of " +
                                                  base::quoted(settings.memory) +
                                                  " could not be read and were poisoned");
  }
}

void serve_sessions(Settings& settings, int signals) {
  const base::UnixListener listener(settings.control, base::SocketClaim::by_lock);
  const std::string dir = prepare_service_dir(settings.control);
  Pager pager({.end = settings.exit_when_idle ? Pager::End::when_idle : Pager::End::when_told,
               .handshake_timeout = settings.handshake_timeout,
               .record_dir = dir,
               .signals = signals});
  ControlApi api(pager, {.socket_dir = dir,
                         .version = base::kVersion,
                         .window = settings.window,
                         .on_failure = settings.on_failure});
  const ControlServer server(listener, api);
  say_ready(settings.ready);
  pager.run();
  if (settings.json) {
    print_summary(pager.totals());
  }
}

}  // namespace

int run_serve_command(int argc, char** argv) {
  base::Options definition = make_options();
  const std::optional<base::ParsedOptions> options = definition.parse(argc, argv);
  if (!options) {
    return 0;
  }
  Settings settings = read_settings(*options);
  const base::Fd signals = take_signals();
  raise_descriptor_limit();
  if (settings.control.empty()) {
    serve_file(settings, signals.get());
  } else {
    serve_sessions(settings, signals.get());
  }
  return 0;
}

}  // namespace pager
