// SPDX-License-Identifier: Apache-2.0
// Handshakes, right ones and spoilt ones.
#pragma once

#include <optional>
#include <span>

#include "base/deadline.h"
#include "hot/region.h"
#include "pager/probe/config.h"

namespace pager {

// Sends what Firecracker sends over `socket`: one message, the regions as a bare array with `uffd`
// beside it; or what `how` makes of that. Returns whether a server must serve it. A server that
// closes while a spoilt one is sent has refused it: no error. Throws std::system_error.
bool send_handshake(std::optional<Misbehaviour> how, std::span<const hot::Region> regions,
                    int socket, int uffd, const base::Deadline& deadline);

}  // namespace pager
