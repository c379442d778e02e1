// SPDX-License-Identifier: Apache-2.0
// Asking a running uffd-serve over its control socket.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "pager/ctl/http_client.h"

namespace pager {

// Three outcomes are kept apart: no server is there (base::Refused, or nothing from try_connect),
// the server says no (base::Refused), and a server is there and does not answer within the time
// (base::Error of ExitCode::system).
class ControlClient {
 public:
  // `patience` is for each call.
  ControlClient(const std::string& path, std::chrono::milliseconds patience);
  // Nothing when no server is there.
  static std::optional<ControlClient> try_connect(const std::string& path,
                                                  std::chrono::milliseconds patience);

  // The body of a reply that says yes.
  std::string ask(std::string_view method, const std::string& target, std::string_view body = "");
  // The same, for as long as it takes.
  std::string ask_and_wait(std::string_view method, const std::string& target,
                           std::string_view body);
  nlohmann::json ask_json(std::string_view method, const std::string& target,
                          std::string_view body = "");

 private:
  ControlClient(std::string path, std::chrono::milliseconds patience, HttpClient client)
      : path_(std::move(path)), patience_(patience), client_(std::move(client)) {}
  std::string ask_until(std::string_view method, const std::string& target, std::string_view body,
                        const base::Deadline& deadline);

  std::string path_;
  std::chrono::milliseconds patience_;
  HttpClient client_;
};

}  // namespace pager
