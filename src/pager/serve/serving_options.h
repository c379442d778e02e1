// SPDX-License-Identifier: Apache-2.0
// The options of a session: failure handling and prefetch window.
#pragma once

#include <cstdint>
#include <optional>

#include "pager/faults/session_state.h"
#include "pager/faults/window.h"
#include "pager/serve/refused_peer.h"

namespace pager {

// The command line sets the defaults of a server; a control request may override them.
struct ServingOptions {
  OnFailure on_failure = OnFailure::poison;
  OnRefusal on_refusal = OnRefusal::kill;
  uint32_t read_attempts = kReadAttempts;
  std::optional<Window> window{};  // default: automatic; single pages if traced
};

}  // namespace pager
