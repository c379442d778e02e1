// SPDX-License-Identifier: Apache-2.0
// What a server continues if the server and the keeper before it were killed together.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "pager/keep/keeper_link.h"
#include "pager/serve/endpoints.h"

namespace pager {

// What to do with a VMM whose guest cannot be served again.
enum class OnLost { kill, hold };

struct Recovery {
  HeldThings sessions;              // their descriptors; no keeper holds them yet
  std::vector<Endpoint> endpoints;  // they have no sockets
  uint64_t last_key = 0;            // the highest key of a state in the directory
  std::set<std::string> kept;       // names of files in the directory that are still of use

  bool empty() const { return sessions.empty() && endpoints.empty(); }
};

// Reads the states in the directory of a service, which the caller has locked: no other server
// serves their VMMs. Takes the userfaultfd out of each VMM that still runs, and opens its image
// again. A session is lost if
//
//| its state          is damaged or of another version
//| its userfaultfd    cannot be taken (take_userfaultfd)
//| its image          is missing or has changed: the private copy of an unsealed file ended with
//|                    the server, so the file itself must be the one that was copied
//
// Without one of these, pages that the guest has discarded look like pages that it needs, so a VMM
// that is lost is killed by its pidfd, or with OnLost::hold left as it is: it hangs, and its state
// stays for another attempt. A state of another boot is never used. Throws std::system_error if the
// directory cannot be read.
Recovery recover(const std::string& dir, OnLost on_lost);

}  // namespace pager
