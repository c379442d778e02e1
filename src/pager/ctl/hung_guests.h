// SPDX-License-Identifier: Apache-2.0
// Guests that hang because the page server that served them was killed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace pager {

struct HungGuest {
  std::string session_id;
  pid_t vmm_pid = 0;  // in our PID namespace; 0 when it cannot be seen from here
  uint64_t vmm_start_time = 0;
  std::string record;  // the file that names it
};

// Of the VMMs that the records beside `control_path` name, those that live and that no server
// serves; all that live where there is no server. Throws what asking a server throws
// (ControlClient), std::system_error when a record cannot be read.
std::vector<HungGuest> find_hung_guests(const std::string& control_path,
                                        std::chrono::milliseconds patience);

}  // namespace pager
