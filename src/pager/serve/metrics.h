// SPDX-License-Identifier: Apache-2.0
// The server's counters in the Prometheus text format.
#pragma once

#include <string>
#include <string_view>

#include "pager/serve/pager.h"

namespace pager {

inline constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

// The text exposition format, version 0.0.4: "uffd_serve_...", then the names of hypeman's pager.
// All metrics are of the whole server. A series for each session would grow without limit, because
// forks are short-lived; /sessions/{id} has the figures of one session.
std::string metrics_text(const ServerInfo& info, std::string_view version);

}  // namespace pager
