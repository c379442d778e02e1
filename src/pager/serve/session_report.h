// SPDX-License-Identifier: Apache-2.0
// Sessions and totals as JSON, for the control socket.
#pragma once

#include <string>

#include "pager/faults/counters.h"
#include "pager/serve/pager.h"

namespace pager {

// All details of one session (docs/interfaces.md).
std::string session_json(const SessionInfo& info);
// {"sessions":[...]}, each with id, state, pid and paths.
std::string sessions_json(std::span<const SessionInfo> infos);
// The counters of all sessions since the start, under the names of hypeman's pager. Counters of its
// page cache are 0, because this server uses the page cache of the kernel.
std::string stats_json(const Pager& pager, std::string_view version);
// The record at the end of the server.
std::string summary_json(const Totals& totals);
// {"version","draining","active_sessions"}
std::string health_json(const Pager& pager, std::string_view version);

}  // namespace pager
