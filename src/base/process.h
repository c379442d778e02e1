// SPDX-License-Identifier: Apache-2.0
// Which process a number stands for, in spite of numbers being given out again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.h"

namespace base {

// Whether /proc shows the PID namespace of this process. After unshare(1) without --mount-proc it
// shows that of the parent, where the numbers of this namespace mean other processes. The functions
// below find the right process in either case.
bool proc_is_ours();

// Start time of a process in clock ticks after boot (field 22 of /proc/PID/stat, proc(5)); nothing
// when there is no such process or it is a zombie. Together with the number it names one process
// for ever: what hypeman keeps as HypervisorPID and HypervisorStartTime.
std::optional<uint64_t> process_start_time(pid_t pid);

// Whether the process is stopped by a signal or a debugger. (One in a frozen cgroup is not seen.)
bool process_is_stopped(pid_t pid);

// A descriptor that becomes readable when the process ends; nothing when it has ended already.
// Throws std::system_error on other failures (Linux 5.3 is needed).
std::optional<Fd> open_pidfd(pid_t pid);

// For messages: the command line's first word, or the name of the script that a shell or Python
// runs; else the kernel's short name; "?" when it is gone.
std::string process_name(pid_t pid);
// The whole command line, its words joined by blanks, for people; else as process_name.
std::string process_command_line(pid_t pid);

}  // namespace base
