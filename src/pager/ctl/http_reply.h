// SPDX-License-Identifier: Apache-2.0
// The head of a server's HTTP reply.
#pragma once

#include <cstddef>
#include <string_view>

namespace pager {

inline constexpr size_t kMaxReplyBytes = size_t{64} << 20U;

struct ReplyHead {
  unsigned status = 0;  // three digits
  size_t body_bytes = 0;
};

// `head` ends before the empty line, with the line break of its last line. Throws base::BadData
// with what is wrong: not HTTP/1.1, no length, or one of more than kMaxReplyBytes.
ReplyHead parse_reply_head(std::string_view head);

}  // namespace pager
