// SPDX-License-Identifier: Apache-2.0
// What requests to the control socket ask for, read from strings that may be hostile.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "pager/faults/session_state.h"
#include "pager/faults/window.h"
#include "pager/serve/refused_peer.h"

namespace pager {

// A path in its parts: "/sessions/vm1/close" is {"sessions", "vm1", "close"}, all of them views of
// it.
struct Target {
  std::string_view collection;  // empty: a path that names nothing
  std::string_view id;
  std::string_view action;
};
Target parse_target(std::string_view path);

// A body of POST /sessions. Paths are as they came; empty where they were not given.
struct SessionRequest {
  std::string id;  // fit for a file name
  std::string instance_id;
  std::string cache_key;
  std::string memory_path;
  std::string hot_list_path;
  std::string trace_path;
  std::optional<uid_t> peer_uid;
  std::optional<OnFailure> on_failure;
  std::optional<OnRefusal> on_refusal;
  std::optional<Window> window;
  std::optional<bool> replace;  // what has the id already
};
// Fields of other names are ignored; null and "" count as not given. Throws base::BadData with the
// words of the reply.
SessionRequest parse_session_request(std::string_view body, bool needs_cache_key);

// A body of POST /sessions/{id}/complete, which may be empty. Throws base::BadData.
struct CompleteRequest {
  uint64_t bytes_per_second = 0;  // 0: as fast as the gaps between faults allow
  bool wait = true;               // the reply comes when it is done
};
CompleteRequest parse_complete_request(std::string_view body);

// A body of POST /sessions/{id}/prefetch: the path of a hot list, "" for the one that was paused.
// Throws base::BadData.
std::string parse_prefetch_request(std::string_view body);

}  // namespace pager
