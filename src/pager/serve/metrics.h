// SPDX-License-Identifier: Apache-2.0
// What the server has done, as Prometheus reads it.
#pragma once

#include <string>
#include <string_view>

#include "pager/serve/pager.h"

namespace pager {

inline constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

// The text exposition format, version 0.0.4: ours ("uffd_serve_..."), then those of hypeman's pager
// under their names. All are of the whole server: a series for each session would grow for ever
// where forks come and go; one session's figures are at /sessions/{id}.
std::string metrics_text(const ServerInfo& info, std::string_view version);

}  // namespace pager
