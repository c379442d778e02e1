// SPDX-License-Identifier: Apache-2.0
// The control interface of the service: what each request does and is answered, apart from HTTP
// itself.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pager/faults/hot_file.h"
#include "pager/image/image.h"
#include "pager/serve/control_request.h"
#include "pager/serve/pager.h"

namespace pager {

struct HttpReply {
  unsigned status = 200;
  std::string body;  // empty with 204
  std::string_view type = "application/json";
};
// {"error":"..."}
HttpReply error_reply(unsigned status, std::string_view message);

inline constexpr size_t kMaxRequestBytes = size_t{1} << 20U;

// Requests and replies are those of hypeman's pager, and ours beside them (docs/interfaces.md).
// Safe to use from any thread.
class ControlApi {
 public:
  struct Settings {
    std::string socket_dir;  // of the session sockets
    std::string version;
    bool needs_cache_key = false;  // hypeman's pager refuses a session without one
    std::optional<Window> window{};
    OnFailure on_failure = OnFailure::poison;
    OnRefusal on_refusal = OnRefusal::kill;
    uint32_t read_attempts = kReadAttempts;
    bool replace = false;  // a session of the same id, where the request does not say
  };
  ControlApi(Pager& pager, Settings settings) : pager_(pager), settings_(std::move(settings)) {}

  // Whether the client of a request has gone: asked now and then by one that waits.
  using Gone = std::function<bool()>;
  // Never throws: what goes wrong is a reply.
  HttpReply answer(std::string_view method, std::string_view path, std::string_view body,
                   const Gone& gone);

  // Requests that wait for something are answered now, and none waits from now on.
  void stop_waiting() { stopping_.store(true, std::memory_order_relaxed); }

 private:
  HttpReply route(std::string_view method, std::string_view path, std::string_view body,
                  const Gone& gone);
  HttpReply describe(std::string_view id) const;
  HttpReply act(const Target& target, bool post, std::string_view body, const Gone& gone);
  HttpReply complete(std::string_view id, std::string_view body, const Gone& gone);
  HttpReply prefetch(std::string_view id, std::string_view body);
  HttpReply create(std::string_view body);
  void use_hot_list(const std::string& path, Place& place, std::vector<std::string>& warnings);

  std::atomic<bool> stopping_{false};
  Pager& pager_;
  Settings settings_;
  ImageStore images_;
  HotFileStore hot_files_;
};

}  // namespace pager
