// SPDX-License-Identifier: Apache-2.0
// Identifies a process by pid and start time, because pids are reused.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.h"

namespace base {

// Returns whether /proc shows the PID namespace of this process. After unshare(1) without
// --mount-proc it shows that of the parent, in which the pids of this namespace mean other
// processes. The functions below find the right process in both cases.
bool proc_is_ours();

// Returns the start time of a process in clock ticks after boot (field 22 of /proc/PID/stat,
// proc(5)); nothing if the process does not exist or has ended (a zombie whose other threads still
// run has not). Pid and start time together identify one process: hypeman stores them as
// HypervisorPID and HypervisorStartTime.
std::optional<uint64_t> process_start_time(pid_t pid);

// Returns whether the process is stopped by a signal or a debugger. A frozen cgroup is not
// detected.
bool process_is_stopped(pid_t pid);

// Returns a descriptor that becomes readable when the process ends; nothing if it has ended
// already. Throws std::system_error on other failures (ENOSYS before Linux 5.3).
std::optional<Fd> open_pidfd(pid_t pid);

// Returns a name for messages: the first word of the command line, or the script that a shell or
// Python runs; else the kernel's short name; "?" if the process has ended.
std::string process_name(pid_t pid);
// Returns the whole command line, joined by spaces, for people; else as process_name.
std::string process_command_line(pid_t pid);

}  // namespace base
