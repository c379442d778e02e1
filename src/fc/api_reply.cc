// SPDX-License-Identifier: Apache-2.0
// Finds the message in the body of a reply.
#include "fc/api_reply.h"

#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json_object.h"

namespace fc {
namespace {

std::string fault_message(const std::string& body) {
  try {
    const auto reply = base::JsonObject::parse(body, "the reply");
    for (const std::string_view key : {"fault_message", "error"}) {
      const std::string* raw = reply.find(key);
      if (std::optional<std::string> text = raw != nullptr ? base::json_text(*raw) : std::nullopt) {
        return std::move(*text);
      }
    }
  } catch (const base::BadData&) {
    // Not JSON, for instance the raw line break that 1.16.1 puts into the message of a 413.
  }
  return body;
}

}  // namespace

std::string failure_of(std::string_view method, std::string_view path,
                       const http::Client::Reply& reply) {
  constexpr unsigned kFirstSuccess = 200;
  constexpr unsigned kFirstRedirect = 300;
  if (reply.status >= kFirstSuccess && reply.status < kFirstRedirect) {
    return {};
  }
  return "cannot " + std::string(method) + " " + base::quoted(path) + ": " +
         std::to_string(reply.status) + ": " + fault_message(reply.body);
}

}  // namespace fc
