// SPDX-License-Identifier: Apache-2.0
// Waiting until a process is blocked on a flock.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <string>

#include "base/deadline.h"

// Polls /proc/locks, where a blocked request has an arrow, until one for the file appears. Returns
// false after a minute.
inline bool wait_for_waiter(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    return false;
  }
  const std::string inode = ":" + std::to_string(st.st_ino) + " ";
  const base::Deadline deadline = base::Deadline::after(std::chrono::minutes(1));
  while (!deadline.passed()) {
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
      if (line.find("->") != std::string::npos && line.find(inode) != std::string::npos) {
        return true;
      }
    }
  }
  return false;
}
