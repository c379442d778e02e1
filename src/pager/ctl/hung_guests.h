// SPDX-License-Identifier: Apache-2.0
// Finds guests that hang because their page server was killed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace pager {

struct HungGuest {
  std::string session_id;
  pid_t vmm_pid = 0;  // in this PID namespace; 0 if not visible in it
  uint64_t vmm_start_time = 0;
  std::string record;  // path of its record
};

// Returns the living VMMs that the records next to `control_path` name and that no server serves.
// If no server listens, these are all living ones. Throws what ControlClient throws, and
// std::system_error if a record cannot be read.
std::vector<HungGuest> find_hung_guests(const std::string& control_path,
                                        std::chrono::milliseconds timeout);

}  // namespace pager
