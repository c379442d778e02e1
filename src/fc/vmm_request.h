// SPDX-License-Identifier: Apache-2.0
// What a VMM is started with, and the checks before its start.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "fc/jail_request.h"

namespace fc {

struct VmmRequest {
  std::string program = "firecracker";
  std::vector<std::string> arguments;
  std::string directory;
  std::string id;
  std::optional<std::string> guest;  // the directory of the guest that it is for
  std::optional<std::string> netns;
  std::vector<std::string> taps;     // that its snapshot will use
  std::optional<std::string> vsock;  // the socket that its snapshot will make
  std::chrono::milliseconds start_timeout{};
  std::optional<JailRequest> jail;
};

// The path of the API socket on this host.
std::string api_socket(const VmmRequest& request);

// Throws for a request that cannot succeed: a program that cannot be executed, a network namespace
// or tap that does not exist or is in use, a socket path that is too long, a process that listens
// at `vsock`, a jail that cannot be made.
void check_request(const VmmRequest& request);

// The words of the command line.
std::vector<std::string> command_line(const VmmRequest& request);

}  // namespace fc
