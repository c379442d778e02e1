// SPDX-License-Identifier: Apache-2.0
// fc-api: makes one call to the API of a Firecracker.
#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/input.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "fc/api_reply.h"
#include "http/client.h"

namespace {

// A load reads the state and maps the memory; with a page server it also waits for the handshake.
constexpr int64_t kDefaultTimeoutMs = 30'000;
// Firecracker's default limit is 51,200 bytes (--http-api-max-payload-size), and it answers 413.
constexpr size_t kMaxBodyBytes = size_t{16} << 20U;
// Firecracker makes its socket about 10 ms after its start.
constexpr std::chrono::milliseconds kWaitStep{1};

struct Call {
  std::string socket;
  std::string method;
  std::string path;
  std::string body;
};

// These characters would end the request line.
bool is_target(std::string_view path) {
  return path.starts_with('/') &&
         path.find_first_of(std::string_view("\0 \r\n\t", 5)) == std::string_view::npos;
}

Call read_call(const base::ParsedOptions& parsed) {
  parsed.require_operands(3, 4, "SOCK, METHOD and PATH");
  const std::vector<std::string>& operands = parsed.operands();
  Call call{.socket = operands[0], .method = operands[1], .path = operands[2], .body = {}};
  constexpr std::array<std::string_view, 3> kMethods{"GET", "PUT", "PATCH"};
  if (std::ranges::find(kMethods, call.method) == kMethods.end()) {
    throw base::UsageError("METHOD is " + base::quoted(call.method) +
                           "; it must be GET, PUT or PATCH");
  }
  if (!is_target(call.path)) {
    throw base::UsageError("PATH is " + base::quoted(call.path) +
                           "; it must begin with '/' and contain no whitespace");
  }
  if (operands.size() == 4) {
    call.body =
        operands[3] == "-" ? base::read_input("-", kMaxBodyBytes) : std::string(operands[3]);
  }
  return call;
}

// Connects, and tries again until `until` if nothing listens yet.
http::Client connect(const std::string& socket, const base::Deadline& until,
                     const base::Deadline& deadline) {
  for (;;) {
    // A jailed Firecracker runs as another user. Whoever names the socket trusts it.
    std::optional<http::Client> client = http::Client::connect(socket, deadline, http::Trust::any);
    if (client) {
      return std::move(*client);
    }
    if (until.passed()) {
      throw base::Refused("cannot connect to " + base::quoted(socket) +
                          ": no Firecracker listens there");
    }
    std::this_thread::sleep_for(kWaitStep);
  }
}

int run(int argc, char** argv) {
  base::Options options(
      "fc-api", "[options] SOCKET METHOD PATH [BODY|-]",
      "Make one call to the API of a Firecracker, and print the body of the reply.");
  options.value("timeout", "SECONDS", "limit for the whole call (default 30; 0: none)")
      .value("wait", "SECONDS", "wait up to this long until a Firecracker listens at SOCK");
  options.footer(
      "Example: fc-api /run/vm.sock PATCH /vm '{\"state\":\"Paused\"}'\n"
      "Exit: 0 done, 1 refused, or nothing listens, 2 usage, 4 the reply is not HTTP,\n"
      "5 system error or timeout. See fc-api(1).");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  const Call call = read_call(*parsed);
  const std::chrono::milliseconds timeout(parsed->seconds_as_ms("timeout", kDefaultTimeoutMs));
  const std::chrono::milliseconds wait(parsed->seconds_as_ms("wait", 0));
  const base::Deadline until = base::Deadline::after(wait);
  const auto limit = [&](std::chrono::milliseconds more) {
    return timeout.count() == 0 ? base::Deadline::never() : base::Deadline::after(timeout + more);
  };
  http::Client client = connect(call.socket, until, limit(wait));
  const http::Client::Reply reply =
      client.request(call.method, call.path, call.body, limit(std::chrono::milliseconds(0)));
  if (!reply.body.empty()) {
    base::write_line_out(reply.body);
  }
  if (const std::string failure = fc::failure_of(call.method, call.path, reply); !failure.empty()) {
    throw base::Refused(failure);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("fc-api", argc, argv, run);
}
