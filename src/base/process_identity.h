// SPDX-License-Identifier: Apache-2.0
// Which process a record means, across reboots and PID namespaces.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace base {

// One process, forever: no other process has the same four values.
struct ProcessIdentity {
  pid_t pid = 0;                // in its own PID namespace
  uint64_t start_time = 0;      // base::process_start_time; 0 when not known
  std::string boot_id{};        // /proc/sys/kernel/random/boot_id; empty when not known
  std::string pid_namespace{};  // as readlink(1) prints /proc/PID/ns/pid; empty when not known
};
// Of a process in this PID namespace. Throws base::Refused when it has ended.
ProcessIdentity identify_process(pid_t pid);

struct FoundProcess {
  bool alive = false;       // also when that cannot be determined
  bool is_certain = false;  // it is alive, and it is the recorded process: it may be signalled
  pid_t pid = 0;            // its number in our PID namespace; 0 when it cannot be seen from here
  // Of the process that has this number now, when that can be read.
  std::optional<uint64_t> start_time{};
};
// Whether the recorded process lives. A record of another boot does not. A record of another PID
// namespace of this boot does, unless /proc shows all processes and not this one: only the initial
// namespace shows all. A missing value of the record matches every process.
FoundProcess find_process(const ProcessIdentity& recorded);

}  // namespace base
