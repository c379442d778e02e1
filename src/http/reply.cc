// SPDX-License-Identifier: Apache-2.0
// Reads the status and the length of a reply.
#include "http/reply.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "base/number.h"

namespace http {
namespace {

// Returns the value of a header, or nothing. `name` is in lower case.
std::optional<std::string_view> header_value(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find("\r\n"));
    head.remove_prefix(std::min(head.size(), line.size() + 2));
    const bool same = line.size() > name.size() && line[name.size()] == ':' &&
                      std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) {
                        return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
                      });
    if (same) {
      std::string_view value = line.substr(name.size() + 1);
      value.remove_prefix(std::min(value.size(), value.find_first_not_of(" \t")));
      return value;
    }
  }
  return std::nullopt;
}

}  // namespace

ReplyHead parse_reply_head(std::string_view head) {
  constexpr std::string_view kStart = "HTTP/1.1 ";
  constexpr size_t kStatusDigits = 3;
  const std::optional<size_t> status =
      head.starts_with(kStart)
          ? base::parse_number<size_t>(head.substr(kStart.size(), kStatusDigits))
          : std::nullopt;
  if (!status) {
    throw base::BadData("it is not HTTP/1.1");
  }
  constexpr unsigned kNoContent = 204;
  const std::optional<std::string_view> length_text = header_value(head, "content-length");
  const std::optional<size_t> length = length_text ? base::parse_number<size_t>(*length_text)
                                       : *status == kNoContent ? std::optional<size_t>(0)
                                                               : std::nullopt;
  if (!length || *length > kMaxReplyBytes) {
    throw base::BadData("it has no valid Content-Length");
  }
  return {.status = static_cast<unsigned>(*status), .body_bytes = *length};
}

}  // namespace http
