// SPDX-License-Identifier: Apache-2.0
// Starts a VMM, waits until its API answers, and stays with it until it ends.
#pragma once

#include <sys/types.h>

#include "fc/vmm_request.h"

namespace fc {

struct Supervision {
  pid_t caller = 0;   // the parent of this process
  int ready_fd = -1;  // gets a byte after the record; -1: none
};

// Prints the record `vmm` once the API answers. Then waits for the end of the VMM, removes its
// socket and pid, and returns its exit status, or 128 and the number of the signal that ended it.
//
// HUP, INT and TERM are passed on to the VMM. If the caller ends, so does the VMM, unless kDetach
// was received before; if this process ends, so does the VMM. If the VMM does not start, throws
// base::Error with the status wrapper, not_found or not_executable, and leaves nothing in the
// directory of the request. The process must have one thread.
int supervise(const VmmRequest& request, const Supervision& supervision);

}  // namespace fc
