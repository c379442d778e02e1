// SPDX-License-Identifier: Apache-2.0
// Protects the server from signals, limits and the OOM killer, because its death hangs guests.
#pragma once

#include <functional>
#include <string_view>

#include "base/fd.h"

namespace pager {

// Call it before any thread starts, because threads inherit the signal mask. Returns a signalfd for
// SIGTERM, SIGINT, SIGQUIT, and SIGHUP unless that is ignored (nohup). Every other signal that ends
// or stops a process by default is ignored, except SIGKILL, SIGSTOP and those that report a bug
// (SIGSEGV, SIGBUS, SIGABRT, ...). A stopped server would stop its guests, too, so SIGTSTP, SIGTTIN
// and SIGTTOU, which terminals send, do not stop it. With SIGXFSZ ignored, a write beyond
// RLIMIT_FSIZE fails with EFBIG. The signalfd is for `also`, too, unless it is 0.
base::Fd take_signals(int also = 0);
// Call it at the end. Discards the pending signals and restores the default of SIGTERM, SIGINT and
// SIGQUIT, so that they can end a blocked write of output.
void release_signals(int signals);

// Bounds the time that the end of the server takes. A disk or a filesystem may hold a thread (a
// request that opens a file there), and nothing can end such a thread. If the process still exists
// after 5 s, this calls `last`, which must not block, and ends the process with status 0.
void limit_end(std::function<void()> last);

// Sends READY=1 to the service manager, if it has set NOTIFY_SOCKET (sd_notify(3)).
void notify_ready();
// The same with another text, such as MAINPID=N.
void notify(std::string_view text);

// Raises limits that a shell or a service manager set for other programs: descriptors, CPU time,
// file size, memory. Warns of a limit of CPU time that cannot be raised: the kernel kills the
// server then.
void raise_limits();

// Lowers oom_score_adj to -900 if permitted (Feature::oom_score). The kernel counts pages of mapped
// images as memory of the server, so the OOM killer would otherwise kill it before the VMMs.
void protect_from_oom_killer();

}  // namespace pager
