// SPDX-License-Identifier: Apache-2.0
// Asks a Firecracker that starts for its version.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "base/deadline.h"
#include "base/fd.h"

namespace fc {

struct VersionAnswer {
  std::string version;  // "1.15.1"
  pid_t pid = 0;        // the process that listens; 0 if it is not visible
  std::string failure;  // why there is no version; empty if there is one
};

// Connects to the API at `socket` and calls GET /version. Waits until a process listens there, and
// stops when `stop` is set.
VersionAnswer ask_version(const std::string& socket, const base::Deadline& deadline,
                          const std::atomic<bool>& stop);

// Does that on a thread.
class VersionQuery {
 public:
  VersionQuery(std::string socket, const base::Deadline& deadline);
  // Stops. The caller has ended the VMM, so a call that waits for an answer ends.
  ~VersionQuery();
  VersionQuery(const VersionQuery&) = delete;
  VersionQuery(VersionQuery&&) = delete;
  VersionQuery& operator=(const VersionQuery&) = delete;
  VersionQuery& operator=(VersionQuery&&) = delete;

  // Readable once there is an answer.
  int fd() const { return done_.get(); }
  // Waits for the answer.
  VersionAnswer answer();

 private:
  base::Fd done_;
  std::atomic<bool> stop_ = false;
  VersionAnswer answer_;
  std::thread thread_;
};

}  // namespace fc
