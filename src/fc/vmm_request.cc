// SPDX-License-Identifier: Apache-2.0
// Checks the start of a VMM, and composes its command line.
#include "fc/vmm_request.h"

#include "base/error.h"
#include "base/socket_probe.h"
#include "fc/firecracker_id.h"
#include "fc/jail.h"
#include "fc/network.h"
#include "fc/start_vmm.h"
#include "fc/vmm_directory.h"

namespace fc {

void check_request(const VmmRequest& request) {
  find_program(request.program);
  if (request.jail) {
    check_jail(*request.jail);
    api_socket(request);
    if (request.vsock) {
      jail_socket(request.directory, request.vsock->substr(request.vsock->rfind('/') + 1));
    }
  }
  if (request.netns) {
    open_netns(*request.netns);
    check_taps(request.taps, netns_path(*request.netns),
               " in the network namespace " + base::quoted(*request.netns));
  } else {
    check_taps(request.taps, "", "");
  }
  if (request.vsock) {
    if (const base::SocketProbe probe = base::probe_socket(*request.vsock); probe.in_use) {
      throw base::Refused("cannot use the vsock socket " + base::quoted(*request.vsock) +
                          ": process " + std::to_string(probe.pid) + " listens there");
    }
  }
}

std::string api_socket(const VmmRequest& request) {
  return request.jail ? jail_socket(request.directory, kApiSocket)
                      : request.directory + "/" + kApiSocket;
}

std::vector<std::string> command_line(const VmmRequest& request) {
  std::vector<std::string> more = request.arguments;
  more.emplace_back("--api-sock");
  if (request.jail) {
    more.push_back(std::string(kInsideShared) + "/" + kApiSocket);
    return jailer_words(*request.jail, request.program, firecracker_id(request.id),
                        request.netns ? netns_path(*request.netns) : "", more);
  }
  std::vector<std::string> words{find_program(request.program)};
  words.insert(words.end(), more.begin(), more.end());
  words.insert(words.end(), {api_socket(request), "--id", firecracker_id(request.id)});
  return words;
}

}  // namespace fc
