// SPDX-License-Identifier: Apache-2.0
// Waits for the API of a Firecracker, and makes one call.
#include "fc/api_call.h"

#include <sys/eventfd.h>

#include <chrono>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json_object.h"
#include "base/socket_probe.h"
#include "fc/api_reply.h"
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

ApiAnswer ask_version(const std::string& socket, const base::Deadline& deadline,
                      const std::atomic<bool>& stop) {
  try {
    for (;;) {
      std::optional<http::Client> client =
          http::Client::connect(socket, deadline, http::Trust::any);
      if (client) {
        const pid_t pid = base::probe_socket(socket).pid;
        return {.version = version_in(client->request("GET", "/version", "", deadline)),
                .pid = pid};
      }
      if (stop || deadline.passed()) {
        return {.version = {}, .failure = "it did not open its API socket in time"};
      }
      std::this_thread::sleep_for(kWaitStep);
    }
  } catch (const std::exception& error) {
    return {.version = {}, .failure = error.what()};
  }
}

ApiAnswer load_snapshot(const std::string& socket, const std::string& body,
                        const base::Deadline& deadline) {
  try {
    constexpr const char* kPath = "/snapshot/load";
    std::optional<http::Client> client = http::Client::connect(socket, deadline, http::Trust::any);
    if (!client) {
      return {.version = {}, .failure = "its API socket is closed"};
    }
    const http::Client::Reply reply = client->request("PUT", kPath, body, deadline);
    std::string failure = failure_of("PUT", kPath, reply);
    const bool refused = !failure.empty();
    return {.version = {}, .refused = refused, .failure = std::move(failure)};
  } catch (const std::exception& error) {
    return {.version = {}, .failure = error.what()};
  }
}

ApiCall::ApiCall(const std::function<ApiAnswer(const std::atomic<bool>& stop)>& call)
    : done_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!done_) {
    base::throw_errno("cannot create an eventfd");
  }
  thread_ = std::thread([this, call] {
    answer_ = call(stop_);
    ::eventfd_write(done_.get(), 1);
  });
}

ApiCall::~ApiCall() {
  stop_ = true;
  if (thread_.joinable()) {
    thread_.join();
  }
}

ApiAnswer ApiCall::answer() {
  if (thread_.joinable()) {
    thread_.join();
  }
  return std::move(answer_);
}

}  // namespace fc
