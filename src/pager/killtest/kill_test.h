// SPDX-License-Identifier: Apache-2.0
// The test that an operator runs: kills page servers under scratch guests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pager {

struct KillTestSettings {
  uint64_t kills = 100;
  size_t guests = 2;
  std::optional<int> guest_cpu;
  std::vector<std::string> keeper;  // its command line, up to the options of the server
};

struct KillTestReport {
  uint64_t kills = 0;
  uint64_t vmms = 0;            // whose every byte was right
  uint64_t verified_pages = 0;  // one page counts each time
  // How long guests waited for a page around a kill (GuestRecord::waits), in ns.
  uint64_t median_ns = 0;
  uint64_t p99_ns = 0;
  uint64_t max_ns = 0;
};

// Starts a keeper with an image in a temporary directory, and guests of it; kills the server that
// serves, again and again, 10 to 40 ms after it has begun to serve; and verifies every byte. Throws
// base::Refused if a guest reads a wrong word, waits for 30 s, or no server comes; the directory
// with the keeper's log then remains. SIGINT, SIGTERM and SIGHUP end it. The caller has no other
// threads.
KillTestReport run_kill_test(const KillTestSettings& settings);

}  // namespace pager
