// SPDX-License-Identifier: Apache-2.0
// Network namespaces, and the taps in them that a VMM will use.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"

namespace fc {

// Opens the network namespace that `ip netns add NAME` made: /run/netns/NAME. Throws base::Refused
// if it does not exist, base::UsageError if `name` cannot be a name.
base::Fd open_netns(const std::string& name);

// The path of the network namespace that `ip netns add NAME` made. Throws base::UsageError if
// `name` cannot be a name.
std::string netns_path(const std::string& name);

// Throws base::Refused, with the name, unless each tap exists and no process uses it: in the
// network namespace at the path `netns`, or in that of this process if it is empty. `where` follows
// the name of a tap in messages. As root, Firecracker creates a tap that does not
// exist, and the guest has a dead network; a tap in use fails its load. Attaches to each tap and
// detaches again. Only for a process with one thread.
void check_taps(const std::vector<std::string>& taps, const std::string& netns,
                const std::string& where);

}  // namespace fc
