// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of a server's replies: a status of three digits, and a length that is bounded.
#include "http/reply.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::accepts([&] {
    const http::ReplyHead head = http::parse_reply_head(text);
    FUZZ_REQUIRE(head.status <= 999);
    FUZZ_REQUIRE(head.body_bytes <= http::kMaxReplyBytes);
    FUZZ_REQUIRE(text.starts_with("HTTP/1.1 "));
  });
  return 0;
}
