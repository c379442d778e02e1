// SPDX-License-Identifier: Apache-2.0
// Sends control requests and converts failures to exceptions.
#include "pager/ctl/control_client.h"

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "pager/ctl/reply_fields.h"

namespace pager {
namespace {

using base::JsonObject;

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

// Returns the message of an error; the whole body if it has none.
std::string error_of(const std::string& body) {
  std::string message;
  try {
    message = text_at(JsonObject::read(body).value_or(JsonObject()), "error");
  } catch (const base::JsonError&) {
    // Not a reply of this server.
  }
  return message.empty() ? body : message;
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
  throw base::Refused("the server at " + base::quoted(path_) + " refused the request (" +
                      std::to_string(reply.status) + "): " + error_of(reply.body));
}

JsonObject ControlClient::ask_json(std::string_view method, const std::string& target,
                                   std::string_view body) {
  const std::string reply = ask(method, target, body);
  const std::string problem = "cannot parse the reply of " + base::quoted(path_) + ": ";
  try {
    if (std::optional<JsonObject> json = JsonObject::read(reply)) {
      return std::move(*json);
    }
  } catch (const base::JsonError& error) {
    throw base::BadData(problem + error.what());
  }
  throw base::BadData(problem + "not a JSON object");
}

}  // namespace pager
