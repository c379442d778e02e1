// SPDX-License-Identifier: Apache-2.0
// A minimal HTTP/1.1 client over a Unix socket.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/fd.h"

namespace http {

// Which servers a client accepts.
enum class Trust {
  root_or_self,  // the server runs as root or as this process's user
  any,           // the caller trusts the path
};

// Not libcurl, because loading it takes 8 ms and each fork starts clients.
class Client {
 public:
  // Returns nothing if no server listens at `path`. Throws what base::connect_unix throws, and
  // base::Refused if `trust` does not allow the server's user.
  static std::optional<Client> connect(const std::string& path, const base::Deadline& deadline,
                                       Trust trust = Trust::root_or_self);

  struct Reply {
    unsigned status = 0;
    std::string body;
  };
  // Sends one request and returns the reply. A connection can carry any number of requests. Throws
  // std::system_error (ETIMEDOUT after the deadline), base::Refused if the server ends before it
  // answers, base::BadData if the reply is not HTTP, is larger than 64 MiB, or ends early.
  Reply request(std::string_view method, std::string_view target, std::string_view body,
                const base::Deadline& deadline);

 private:
  Client(std::string path, base::Fd socket) : path_(std::move(path)), socket_(std::move(socket)) {}
  void send(std::string_view data, const base::Deadline& deadline);
  void receive(const base::Deadline& deadline);
  [[noreturn]] void fail(const std::string& why) const;
  [[noreturn]] void fail_as_gone() const;

  std::string path_;
  base::Fd socket_;
  std::string received_;
};

}  // namespace http
