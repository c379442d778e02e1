// SPDX-License-Identifier: Apache-2.0
// Sends control requests and converts failures to exceptions.
#include "pager/ctl/control_client.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"

namespace pager {
namespace {

using Json = nlohmann::json;

constexpr unsigned kOk = 200;
constexpr unsigned kAccepted = 202;
constexpr unsigned kNoContent = 204;

[[noreturn]] void fail_as_silent(const std::string& path, std::chrono::milliseconds timeout) {
  constexpr int64_t kPerSecond = 1000;
  const int64_t ms = timeout.count();
  throw base::Error(base::ExitCode::system,
                    "the server at " + base::quoted(path) + " does not answer within " +
                        (ms % kPerSecond == 0 ? std::to_string(ms / kPerSecond) + " s"
                                              : std::to_string(ms) + " ms") +
                        "; it is running, but may be stopped or blocked");
}

http::Client connected_or_refused(const std::string& path, std::optional<http::Client> client) {
  if (!client) {
    throw base::Refused("no server listens at " + base::quoted(path) +
                        "; start one: uffd-serve --control " + path);
  }
  return std::move(*client);
}

std::optional<http::Client> connect(const std::string& path, std::chrono::milliseconds timeout) {
  try {
    return http::Client::connect(path, base::Deadline::after(timeout));
  } catch (const std::system_error& error) {
    if (error.code().value() == ETIMEDOUT) {
      fail_as_silent(path, timeout);
    }
    throw;
  }
}

}  // namespace

ControlClient::ControlClient(const std::string& path, std::chrono::milliseconds timeout)
    : ControlClient(path, timeout, connected_or_refused(path, connect(path, timeout))) {}

std::optional<ControlClient> ControlClient::try_connect(const std::string& path,
                                                        std::chrono::milliseconds timeout) {
  std::optional<http::Client> client = connect(path, timeout);
  return client ? std::optional(ControlClient(path, timeout, std::move(*client))) : std::nullopt;
}

std::string ControlClient::ask(std::string_view method, const std::string& target,
                               std::string_view body) {
  return ask_until(method, target, body, base::Deadline::after(timeout_));
}

std::string ControlClient::ask_and_wait(std::string_view method, const std::string& target,
                                        std::string_view body) {
  return ask_until(method, target, body, base::Deadline::never());
}

std::string ControlClient::ask_until(std::string_view method, const std::string& target,
                                     std::string_view body, const base::Deadline& deadline) {
  http::Client::Reply reply;
  try {
    reply = client_.request(method, target, body, deadline);
  } catch (const std::system_error& error) {
    if (error.code().value() == ETIMEDOUT) {
      fail_as_silent(path_, timeout_);
    }
    throw;
  }
  if (reply.status == kOk || reply.status == kAccepted || reply.status == kNoContent) {
    while (reply.body.ends_with('\n')) {
      reply.body.pop_back();
    }
    return std::move(reply.body);
  }
  const Json json = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  const std::string why = json.is_object() && json.contains("error") && json["error"].is_string()
                              ? json["error"].get<std::string>()
                              : reply.body;
  throw base::Refused("the server at " + base::quoted(path_) + " refused the request (" +
                      std::to_string(reply.status) + "): " + why);
}

Json ControlClient::ask_json(std::string_view method, const std::string& target,
                             std::string_view body) {
  Json json = Json::parse(ask(method, target, body), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw base::BadData("cannot parse the reply of " + base::quoted(path_) + ": not a JSON object");
  }
  return json;
}

}  // namespace pager
