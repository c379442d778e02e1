// SPDX-License-Identifier: Apache-2.0
// The control interface of the service: the effect and the reply of each request, without HTTP.
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

// Implements the requests of hypeman's pager and further ones (docs/interfaces.md). Thread-safe.
class ControlApi {
 public:
  struct Settings {
    std::string socket_dir;  // directory of the session sockets
    std::string version;
    bool needs_cache_key = false;  // reject a session without one, as hypeman's pager does
    ServingOptions serving{};      // of sessions whose request does not set them
    bool replace = false;          // default of the request's `replace`
  };
  ControlApi(Pager& pager, Settings settings) : pager_(pager), settings_(std::move(settings)) {}

  // Returns whether the client of a request has disconnected. A request that waits calls it
  // repeatedly.
  using Gone = std::function<bool()>;
  // Never throws; an error becomes a reply.
  HttpReply answer(std::string_view method, std::string_view path, std::string_view body,
                   const Gone& gone);

  // Answers all requests that wait, and makes later ones return at once.
  void stop_waiting() { stopping_.store(true, std::memory_order_relaxed); }

 private:
  struct Call {
    Target target;
    std::string_view body;
    const Gone& gone;
  };
  HttpReply route(std::string_view method, const Call& call);
  HttpReply list(const Call& call);
  HttpReply create(const Call& call);
  HttpReply describe(const Call& call);
  HttpReply close(const Call& call);
  HttpReply complete(const Call& call);
  HttpReply prefetch(const Call& call);
  HttpReply pause_prefetch(const Call& call);
  HttpReply mark(const Call& call);
  HttpReply trace(const Call& call);
  HttpReply drain(const Call& call);
  HttpReply upgrade(const Call& call);
  HttpReply health(const Call& call);
  HttpReply stats(const Call& call);
  HttpReply metrics(const Call& call);
  void use_hot_list(Endpoint& endpoint, std::vector<std::string>& warnings);

  std::atomic<bool> stopping_{false};
  Pager& pager_;
  Settings settings_;
  ImageCache images_;
  HotListCache hot_files_;
};

}  // namespace pager
