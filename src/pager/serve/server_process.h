// SPDX-License-Identifier: Apache-2.0
// The process of a server: what is not about it must not end it, because its guests would hang.
#pragma once

#include <functional>

#include "base/fd.h"

namespace pager {

// Call it before there are threads, which inherit what is blocked. Returns a signalfd with SIGTERM,
// SIGINT, SIGQUIT, and SIGHUP unless it was ignored already (nohup). Every other signal whose
// default ends or stops a process is ignored, but for those that report a bug (SIGSEGV, SIGBUS,
// SIGABRT, ...), SIGKILL and SIGSTOP. A stopped server would stop its guests, too, so the keys and
// terminals that send SIGTSTP, SIGTTIN and SIGTTOU do not stop it. With SIGXFSZ ignored, a write
// beyond RLIMIT_FSIZE is EFBIG, an error like any other.
base::Fd take_signals();
// For the end: forgets what has come on `signals`, and gives SIGTERM, SIGINT and SIGQUIT their
// default again, so that output that blocks can be ended.
void release_signals(int signals);

// Bounds the time that the end of the server takes. A disk or a filesystem may hold a thread (a
// request that opens a file there), and nothing can end such a thread. If the process still exists
// after 5 s, this calls `last`, which must not block, and ends the process with status 0.
void limit_end(std::function<void()> last);

// Raises limits that a shell or a service manager set for other programs: descriptors, CPU time,
// file size, memory. Warns of a limit of CPU time that cannot be raised: the kernel kills the
// server then.
void raise_limits();

// The kernel's memory counts pages of mapped images as the server's: it would be killed before the
// VMMs. Lowers oom_score_adj to -900 where that is permitted (Feature::oom_score).
void protect_from_oom_killer();

}  // namespace pager
