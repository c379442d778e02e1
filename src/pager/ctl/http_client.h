// SPDX-License-Identifier: Apache-2.0
// A client of HTTP/1.1 over a Unix socket, as small as talking to our own server allows.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/fd.h"

namespace pager {

// Ours and not libcurl: loading that costs a process 8 ms, and each fork runs this program once.
class HttpClient {
 public:
  // Nothing when nobody listens at `path`. Throws what base::connect_unix throws, and base::Refused
  // when the server runs as another user than root or ours.
  static std::optional<HttpClient> connect(const std::string& path, const base::Deadline& deadline);

  struct Reply {
    unsigned status = 0;
    std::string body;
  };
  // One request, and the whole reply. Any number after each other, on one connection. Throws
  // std::system_error (ETIMEDOUT past the deadline), base::Refused when the server ends before it
  // says a word, base::BadData when the reply is no HTTP, is larger than 64 MiB, or ends early.
  Reply request(std::string_view method, std::string_view target, std::string_view body,
                const base::Deadline& deadline);

 private:
  HttpClient(std::string path, base::Fd socket)
      : path_(std::move(path)), socket_(std::move(socket)) {}
  void send(std::string_view data, const base::Deadline& deadline);
  void receive(const base::Deadline& deadline);
  [[noreturn]] void fail(const std::string& why) const;
  [[noreturn]] void fail_as_gone() const;

  std::string path_;
  base::Fd socket_;
  std::string received_;
};

}  // namespace pager
