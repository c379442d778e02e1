// SPDX-License-Identifier: Apache-2.0
// Waits for a Firecracker's API, and calls GET /version.
#include "fc/version_query.h"

#include <sys/eventfd.h>

#include <chrono>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json_object.h"
#include "base/socket_probe.h"
#include "http/client.h"

namespace fc {
namespace {

// Firecracker makes its socket about 10 ms after its start.
constexpr std::chrono::milliseconds kWaitStep{1};

std::string version_in(const http::Client::Reply& reply) {
  constexpr unsigned kOk = 200;
  if (reply.status != kOk) {
    throw base::Refused("it answers GET /version with " + std::to_string(reply.status));
  }
  const auto body = base::JsonObject::parse(reply.body, "the answer to GET /version");
  const std::string* const raw = body.find("firecracker_version");
  const std::optional<std::string> version = raw != nullptr ? base::json_text(*raw) : std::nullopt;
  if (!version || version->empty()) {
    throw base::Refused("its answer to GET /version has no version");
  }
  return *version;
}

}  // namespace

VersionAnswer ask_version(const std::string& socket, const base::Deadline& deadline,
                          const std::atomic<bool>& stop) {
  try {
    for (;;) {
      std::optional<http::Client> client =
          http::Client::connect(socket, deadline, http::Trust::any);
      if (client) {
        const pid_t pid = base::probe_socket(socket).pid;
        return {.version = version_in(client->request("GET", "/version", "", deadline)),
                .pid = pid,
                .failure = {}};
      }
      if (stop || deadline.passed()) {
        return {.version = {}, .pid = 0, .failure = "it did not open its API socket in time"};
      }
      std::this_thread::sleep_for(kWaitStep);
    }
  } catch (const std::exception& error) {
    return {.version = {}, .pid = 0, .failure = error.what()};
  }
}

VersionQuery::VersionQuery(std::string socket, const base::Deadline& deadline)
    : done_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!done_) {
    base::throw_errno("cannot create an eventfd");
  }
  thread_ = std::thread([this, socket = std::move(socket), deadline] {
    answer_ = ask_version(socket, deadline, stop_);
    ::eventfd_write(done_.get(), 1);
  });
}

VersionQuery::~VersionQuery() {
  stop_ = true;
  if (thread_.joinable()) {
    thread_.join();
  }
}

VersionAnswer VersionQuery::answer() {
  if (thread_.joinable()) {
    thread_.join();
  }
  return std::move(answer_);
}

}  // namespace fc
