// SPDX-License-Identifier: Apache-2.0
// Sends handshakes, valid and invalid.
#pragma once

#include <optional>
#include <span>

#include "base/deadline.h"
#include "hot/region.h"
#include "pager/probe/config.h"

namespace pager {

// Sends Firecracker's handshake over `socket`: one message with the regions as a bare array, and
// `uffd`. `how` selects an invalid or unusual variant. Returns whether a server must serve it. If
// the server closes the socket while an invalid handshake is sent, it has refused it; that is not
// an error. Throws std::system_error.
bool send_handshake(std::optional<Misbehavior> how, std::span<const hot::Region> regions,
                    int socket, int uffd, const base::Deadline& deadline);

}  // namespace pager
