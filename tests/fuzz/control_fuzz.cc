// SPDX-License-Identifier: Apache-2.0
// Fuzzes what comes over the control socket: paths fall into parts that make them up again, and no
// session's id leaves its directory.
#include <limits>
#include <string>

#include "pager/serve/control_request.h"
#include "tests/fuzz/fuzz.h"

namespace {

void check_target(std::string_view path) {
  const pager::Target target = pager::parse_target(path);
  if (target.collection.empty()) {
    FUZZ_REQUIRE(target.id.empty() && target.action.empty());
    return;
  }
  std::string joined;
  for (const std::string_view part : {target.collection, target.id, target.action}) {
    FUZZ_REQUIRE(part.find('/') == std::string_view::npos);
    if (!part.empty()) {
      joined.append("/").append(part);
    }
  }
  FUZZ_REQUIRE(joined == path);
}

void check_request(std::string_view body, bool needs_cache_key) {
  const pager::SessionRequest request = pager::parse_session_request(body, needs_cache_key);
  FUZZ_REQUIRE(!request.id.empty() && request.id[0] != '.');
  FUZZ_REQUIRE(request.id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789._@-") == std::string::npos);
  FUZZ_REQUIRE(!request.memory_path.empty() && request.serving.trace_path != "-");
  for (const std::string& path :
       {request.memory_path, request.serving.hot_list_path, request.serving.trace_path}) {
    FUZZ_REQUIRE(path.find('\0') == std::string::npos);
  }
  FUZZ_REQUIRE(request.serving.peer_uid != std::numeric_limits<uid_t>::max());
  FUZZ_REQUIRE(!needs_cache_key || !request.cache_key.empty());
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  check_target(text);
  fuzz::accepts([&] { check_request(text, false); });
  fuzz::accepts([&] { check_request(text, true); });
  fuzz::accepts([&] { pager::parse_complete_request(text); });
  fuzz::accepts(
      [&] { FUZZ_REQUIRE(pager::parse_prefetch_request(text).find('\0') == std::string::npos); });
  return 0;
}
