// SPDX-License-Identifier: Apache-2.0
// Checks the start of a VMM, and composes its command line.
#include "fc/vmm_request.h"

#include "base/error.h"
#include "base/socket_probe.h"
#include "fc/firecracker_id.h"
#include "fc/network.h"
#include "fc/start_vmm.h"
#include "fc/vmm_directory.h"

namespace fc {

void check_request(const VmmRequest& request) {
  find_program(request.program);
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

std::vector<std::string> command_line(const VmmRequest& request) {
  std::vector<std::string> words{find_program(request.program)};
  words.insert(words.end(), request.arguments.begin(), request.arguments.end());
  for (const std::string& word : {std::string("--api-sock"), request.directory + "/" + kApiSocket,
                                  std::string("--id"), firecracker_id(request.id)}) {
    words.push_back(word);
  }
  return words;
}

}  // namespace fc
