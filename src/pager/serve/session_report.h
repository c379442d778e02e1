// SPDX-License-Identifier: Apache-2.0
// Sessions and totals as JSON, for the control socket.
#pragma once

#include <string>

#include "pager/faults/counters.h"
#include "pager/serve/pager.h"

namespace pager {

// One session in all detail (docs/interfaces.md).
std::string session_json(const SessionInfo& info);
// {"sessions":[...]}, each with id, state, pid and paths.
std::string sessions_json(std::span<const SessionInfo> infos);
// Counters of all sessions since the start, under the names that hypeman's pager gives them. What
// we have no part for (its page cache: ours is the kernel's) is 0.
std::string stats_json(const Pager& pager, std::string_view version);
// {"version","draining","active_sessions"}
std::string health_json(const Pager& pager, std::string_view version);

}  // namespace pager
