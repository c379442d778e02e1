// SPDX-License-Identifier: Apache-2.0
// In a file of its own, so that tests can build a server of another release.
#include "pager/faults/state_versions.h"

#include "pager/faults/session_state.h"

namespace pager {

// Version 7 is the first with room for members of later versions.
StateVersions state_versions() {
  return {.oldest = SessionState::kVersion, .newest = SessionState::kVersion};
}

}  // namespace pager
