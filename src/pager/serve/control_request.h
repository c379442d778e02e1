// SPDX-License-Identifier: Apache-2.0
// Parses the bodies and paths of control requests. All input may be hostile.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "pager/serve/serving_options.h"

namespace pager {

// The parts of a path: "/sessions/vm1/close" is {"sessions", "vm1", "close"}. They are views of the
// path.
struct Target {
  std::string_view collection;  // empty: the path is invalid
  std::string_view id;
  std::string_view action;
};
Target parse_target(std::string_view path);

// A body of POST /sessions. Paths are as sent by the client; empty if not given.
struct SessionRequest {
  std::string id{};  // the server makes it valid as a file name
  std::string instance_id{};
  std::string cache_key{};
  std::string memory_path{};
  ServingOptions serving{};
  std::optional<bool> replace{};  // replace a session that has the id
};
// Unknown fields are ignored; null and "" count as not given. Throws base::BadData with the text of
// the reply.
SessionRequest parse_session_request(std::string_view body, bool needs_cache_key);
// Returns the body that a client sends.
std::string compose_session_request(const SessionRequest& request);

// A body of POST /sessions/{id}/complete, which may be empty. Throws base::BadData.
struct CompleteRequest {
  uint64_t bytes_per_second = 0;  // 0: without limit, between faults
  bool wait = true;               // the reply is sent when it is done
};
CompleteRequest parse_complete_request(std::string_view body);

// A body of POST /sessions/{id}/prefetch. Returns the path of a hot list, or "" to continue a
// paused one. Throws base::BadData.
std::string parse_prefetch_request(std::string_view body);
// A body of POST /sessions/{id}/mark: the name of the mark. Throws base::BadData.
std::string parse_mark_request(std::string_view body);
// A body of POST /sessions/{id}/trace: the path of the trace to begin, or "" to end it. Throws
// base::BadData.
std::string parse_trace_request(std::string_view body);
// A body of POST /upgrade: the path of the program. Throws base::BadData.
std::string parse_upgrade_request(std::string_view body);

}  // namespace pager
