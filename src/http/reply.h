// SPDX-License-Identifier: Apache-2.0
// Parses the head of an HTTP reply.
#pragma once

#include <cstddef>
#include <string_view>

namespace http {

inline constexpr size_t kMaxReplyBytes = size_t{64} << 20U;

struct ReplyHead {
  unsigned status = 0;  // three digits
  size_t body_bytes = 0;
};

// `head` includes the line break of its last line, but not the empty line. Throws base::BadData if
// it is not HTTP/1.1, has no length, or has a length above kMaxReplyBytes.
ReplyHead parse_reply_head(std::string_view head);

}  // namespace http
