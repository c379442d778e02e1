// SPDX-License-Identifier: Apache-2.0
// Identifies a recorded process across reboots and PID namespaces.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace base {

// Identifies one process: no other process ever has the same four values.
struct ProcessIdentity {
  pid_t pid = 0;                // in its own PID namespace
  uint64_t start_time = 0;      // base::process_start_time; 0 if not known
  std::string boot_id{};        // /proc/sys/kernel/random/boot_id; empty if not known
  std::string pid_namespace{};  // as readlink(1) prints /proc/PID/ns/pid; empty if not known
};
// Identifies a process in this PID namespace. Throws base::Refused if it has ended.
ProcessIdentity identify_process(pid_t pid);

// /proc/sys/kernel/random/boot_id; empty if it cannot be read.
std::string current_boot_id();

struct FoundProcess {
  bool alive = false;       // also if that cannot be determined
  bool is_certain = false;  // it is alive and the recorded process, so it may be signalled
  pid_t pid = 0;            // its pid in our PID namespace; 0 if it is not visible here
  // The start time of the process that has this pid now, if it is readable.
  std::optional<uint64_t> start_time{};
};
// Returns whether the recorded process is alive. A process of another boot is not. A process of
// another PID namespace of this boot counts as alive, unless /proc shows all processes and not this
// one; only the initial namespace shows all. A missing value of the record matches every process.
FoundProcess find_process(const ProcessIdentity& recorded);

}  // namespace base
