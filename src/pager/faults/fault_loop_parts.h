// SPDX-License-Identifier: Apache-2.0
// What a fault loop is given for one VMM.
#pragma once

#include "hot/trace_writer.h"
#include "pager/faults/counters.h"
#include "pager/faults/session_log.h"
#include "pager/faults/session_state.h"
#include "pager/faults/vmm.h"
#include "pager/image/image.h"

namespace pager {

// The inputs of a FaultLoop. All are borrowed and must outlive the loop.
struct FaultLoopParts {
  int uffd;
  SessionState& state;
  const Image& image;
  const Vmm& vmm;
  Counters& counters;
  const SessionLog& log;
  // May be null. The caller gives a traced session a window of one page by default, so that the
  // trace contains every page that the guest touches.
  hot::TraceWriter* trace;
};

}  // namespace pager
