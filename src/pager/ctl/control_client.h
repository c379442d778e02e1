// SPDX-License-Identifier: Apache-2.0
// A client of a running uffd-serve, over its control socket.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/json_object.h"
#include "http/client.h"

namespace pager {

// Distinguishes three failures: no server listens (base::Refused, or nothing from try_connect), the
// server refuses (base::Refused), and a server listens but does not answer in time (base::Error
// with ExitCode::system).
class ControlClient {
 public:
  // `timeout` applies to each call.
  ControlClient(const std::string& path, std::chrono::milliseconds timeout);
  // Returns nothing if no server listens.
  static std::optional<ControlClient> try_connect(const std::string& path,
                                                  std::chrono::milliseconds timeout);

  // Returns the body of a successful reply.
  std::string ask(std::string_view method, const std::string& target, std::string_view body = "");
  // As ask(), without a time limit.
  std::string ask_and_wait(std::string_view method, const std::string& target,
                           std::string_view body);
  // Throws base::BadData unless the reply is a JSON object.
  base::JsonObject ask_json(std::string_view method, const std::string& target,
                            std::string_view body = "");

 private:
  ControlClient(std::string path, std::chrono::milliseconds timeout, http::Client client)
      : path_(std::move(path)), timeout_(timeout), client_(std::move(client)) {}
  std::string ask_until(std::string_view method, const std::string& target, std::string_view body,
                        const base::Deadline& deadline);

  std::string path_;
  std::chrono::milliseconds timeout_;
  http::Client client_;
};

}  // namespace pager
