// SPDX-License-Identifier: Apache-2.0
// The versions of SessionState.
#pragma once

#include <cstdint>

namespace pager {

// Two releases may serve one session, one after the other, so a state has room for members of later
// versions, and a server reads the version before its own in place:
//
//| a new member       takes the next of SessionState::reserved, or of the room in Counters; 0 means
//|                    what a server without it does
//| a new version      is needed only if a server without the member must not serve the session.
//|                    States of earlier servers keep their version, so that an upgrade can be
//|                    rolled back
struct StateVersions {
  uint32_t oldest;  // that this server reads
  uint32_t newest;  // that it reads, and creates
};
StateVersions state_versions();

}  // namespace pager
