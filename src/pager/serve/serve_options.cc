// SPDX-License-Identifier: Apache-2.0
// Defines, checks and reads the options of uffd-serve.
#include "pager/serve/serve_options.h"

#include <fcntl.h>

#include <array>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "base/unix_socket.h"
#include "base/version.h"

namespace pager {
namespace {

// Options of hypeman's pager that have no effect, with the reason.
constexpr std::array<std::pair<const char*, const char*>, 5> kForeign{{
    {"cache-max-bytes", "the kernel's page cache is used, and is shared by all sessions"},
    {"metrics-addr", "metrics are at /metrics of the control socket"},
    {"otel-endpoint", "metrics are at /metrics of the control socket"},
    {"otel-insecure", "metrics are at /metrics of the control socket"},
    {"otel-metric-export-interval", "metrics are at /metrics of the control socket"},
}};

base::Fd descriptor_of(const base::ParsedOptions& options, const std::string& name) {
  constexpr int64_t kMaxFd = 1 << 20;
  const auto fd = static_cast<int>(options.number(name, 3, kMaxFd, -1));
  if (fd >= 0 && ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    throw base::UsageError("bad value '" + std::to_string(fd) + "' for --" + name +
                           ": the descriptor is not open");
  }
  return base::Fd(fd);
}

// Checks which options may be combined.
void check_combination(const base::ParsedOptions& options) {
  const auto exclude = [&](const char* one, std::initializer_list<const char*> others) {
    for (const char* other : others) {
      if (options.has(one) && options.has(other)) {
        throw base::UsageError("--" + std::string(other) + " and --" + one + " exclude each other");
      }
    }
  };
  const auto need = [&](const char* one, const char* other) {
    if (options.has(one) && !options.has(other)) {
      throw base::UsageError("--" + std::string(one) + " needs --" + other);
    }
  };
  exclude("control", {"mem", "socket", "hot", "trace", "once", "peer-uid", "data-dir"});
  exclude("data-dir", {"mem", "socket", "hot", "trace", "once", "peer-uid"});
  need("data-dir", "version-key");
  need("version-key", "data-dir");
  for (const auto& [name, why] : kForeign) {
    need(name, "data-dir");
  }
  const bool service = options.has("control") || options.has("data-dir");
  if (!service) {
    need("exit-when-idle", "control");
    need("connect-timeout", "control");
    need("recover", "control");
    need("on-lost", "control");
    if (!(options.has("mem") && options.has("socket"))) {
      throw base::UsageError("--mem and --socket, or --control, are needed");
    }
  }
  if (options.has("json") && options.value("trace") == "-") {
    throw base::UsageError("--json and --trace - exclude each other: both write standard output");
  }
}

}  // namespace

base::Options make_serve_options() {
  base::Options options(
      "uffd-serve", "--mem FILE --socket PATH | --control SOCK",
      "Serve guest memory, page by page, to VMMs that connect with a userfaultfd.");
  options.group("Foreground")
      .value("mem", "FILE", "memory file of a snapshot")
      .value("socket", "PATH", "socket for VMMs, any number at once")
      .flag("once", "exit when the last VMM has ended");
  add_session_options(options);
  options.group("Service")
      .value("control", "SOCK", "serve sessions made over HTTP; sockets in s/")
      .value("data-dir", "DIR", "the same, in the layout of hypeman's pager")
      .value("version-key", "KEY", "with --data-dir: DIR/uffd/KEY/control.sock")
      .flag("exit-when-idle", "exit when the last session has ended")
      .value("connect-timeout", "S", "close a session if no VMM connects (never)")
      .flag("recover", "serve the guests of a killed server until they end, if it has any")
      .value("on-lost", "WHAT", "a VMM that cannot be recovered: kill (default) or hold")
      .group("Serving");
  add_serving_options(options);
  options.value("read-attempts", "N", "attempts to read a page (4)")
      .value("handshake-timeout", "S", "refuse a client without handshake (5)")
      .flag("keep", "run under uffd-keeper: guests survive the death of the server")
      .value("ready-fd", "N", "write a newline to descriptor N when ready")
      .value("without", "LIST", "do not use these kernel features")
      .flag("features", "print the kernel features and exit")
      .footer(
          "Exit: 0 done; 1 another server is running; 2 usage; 4 bad file; 5 system error,\n"
          "or a page was poisoned. See uffd-serve(1), and uffd-ctl(1) for its sessions.");
  options.unlisted();
  options.value("keeper-fd", "N", "the socket of uffd-keeper")
      .flag("successor", "wait until uffd-keeper orders to serve");
  for (const auto& [name, why] : kForeign) {
    if (std::string_view(name) == "otel-insecure") {
      options.optional_value(name, why);
    } else {
      options.value(name, "", why);
    }
  }
  return options;
}

ServeSettings read_serve_settings(const base::ParsedOptions& options) {
  options.require_operands(0, 0, "");
  check_combination(options);
  ServeSettings settings;
  settings.memory = options.value_or("mem", "");
  settings.socket = options.value_or("socket", "");
  settings.once = options.has("once");
  settings.version = options.value_or("version-key", base::kVersion);
  settings.needs_cache_key = options.has("data-dir");
  if (const auto control = options.value("control")) {
    settings.service = own_layout(*control);
  } else if (const auto data = options.value("data-dir")) {
    settings.service = hypeman_layout(*data, settings.version);
  }
  settings.recover = options.has("recover");
  settings.exit_when_idle = options.has("exit-when-idle") || settings.recover;
  if (options.choice("on-lost", {"kill", "hold"}) == "hold") {
    settings.on_lost = OnLost::hold;
  }
  constexpr int64_t kDefaultTimeoutMs = 5000;
  settings.handshake_timeout =
      std::chrono::milliseconds(options.seconds_as_ms("handshake-timeout", kDefaultTimeoutMs));
  settings.connect_timeout = std::chrono::milliseconds(options.seconds_as_ms("connect-timeout", 0));
  settings.serving = read_serving_options(options);
  settings.serving.read_attempts =
      static_cast<uint32_t>(options.number("read-attempts", 1, kMostReadAttempts, kReadAttempts));
  settings.keeper = descriptor_of(options, "keeper-fd");
  settings.successor = options.has("successor");
  if (!settings.successor) {  // the first server has used it
    settings.ready = descriptor_of(options, "ready-fd");
  }
  settings.json = options.has("json");
  base::check_socket_path(settings.service ? settings.service->control : settings.socket);
  for (const auto& [name, why] : kForeign) {
    if (options.has(name)) {
      base::say_warning("--" + std::string(name) + " has no effect: " + why);
    }
  }
  return settings;
}

}  // namespace pager
