// SPDX-License-Identifier: Apache-2.0
// hotpage-record record, for any source of a list.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/options.h"

namespace hot {

// The trace of a session that is being served. The destructor ends what the constructor began.
class LiveTrace {
 public:
  LiveTrace() = default;
  virtual ~LiveTrace() = default;
  LiveTrace(const LiveTrace&) = delete;
  LiveTrace(LiveTrace&&) = delete;
  LiveTrace& operator=(const LiveTrace&) = delete;
  LiveTrace& operator=(LiveTrace&&) = delete;
  // The file that the server writes.
  virtual const std::string& path() const = 0;
  // The session no longer writes: its VMM, the server or the trace has ended. Throws if this
  // program was interrupted by a signal.
  virtual bool ended() = 0;
};

// Begins to trace the session of --session. The verb itself does not know page servers.
using OpenSession = std::function<std::unique_ptr<LiveTrace>(const base::ParsedOptions& parsed)>;

int record_verb(int argc, char** argv, const OpenSession& open_session);

}  // namespace hot
