// SPDX-License-Identifier: Apache-2.0
// The faults of fake-firecracker, chosen by the environment variable FAKE_FAIL.
//
// FAKE_FAIL is a list of words, separated by commas. A word is a fault alone ("flood", "clock",
// "ignore-term", "ignore-ctrl-alt-del", "mmds"), or a request ("load", "create", "pause", "resume")
// that is refused; with a prefix, "die-load" ends the process by SIGKILL during the request, and
// "hang-load" never answers it, and "gate-load" waits until a process opens the FIFO FAKE_GATE for
// writing. "late-create" fails after half of the memory was written.
// "die-start" and "hang-start" apply before the API socket exists.
#pragma once

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>

inline std::string fake_setting(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

inline bool fails(const std::string& fault) {
  static const std::string faults = "," + fake_setting("FAKE_FAIL") + ",";
  return faults.find("," + fault + ",") != std::string::npos;
}

// Dies, hangs or waits if that is the fault of `request`.
inline void maybe_stop_at(const std::string& request) {
  if (fails("die-" + request)) {
    ::kill(::getpid(), SIGKILL);
  }
  while (fails("hang-" + request)) {
    ::pause();
  }
  if (fails("gate-" + request)) {
    const std::ifstream gate(fake_setting("FAKE_GATE"));
  }
}
