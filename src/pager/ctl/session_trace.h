// SPDX-License-Identifier: Apache-2.0
// The trace of a session of a running server, for hotpage-record.
#pragma once

#include <memory>
#include <string>

#include "base/options.h"
#include "hot/verbs/record_verb.h"
#include "hot/verbs/verbs.h"

namespace pager {

// Opens the trace of the session --session of the server at --control. If the session has no trace,
// one is begun in a file beside the control socket, and ended and removed by the destructor; so is
// one that a killed recorder had begun. Throws base::Refused if the session does not exist, or no
// server answers.
std::unique_ptr<hot::LiveTrace> open_session_trace(const base::ParsedOptions& parsed);

// Asks the server about the session and its list. Throws base::Refused if the session does not
// exist, or no server answers.
hot::SessionDrift find_drift(const base::ParsedOptions& parsed);

}  // namespace pager
