// SPDX-License-Identifier: Apache-2.0
// Records in which session a bug ended the server: the keeper finds sessions that do so repeatedly.
#pragma once

#include <cstdint>

#include "pager/keep/keeper_page.h"

namespace pager {

// From now on a signal that reports a bug (SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE) first records
// in the page which session its thread serves. It then ends the process as before.
void mark_crashes(KeeperPage& page);
// Sets the key of the session that the calling thread serves.
void mark_crashes_of(uint64_t key);

}  // namespace pager
