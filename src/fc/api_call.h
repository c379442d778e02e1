// SPDX-License-Identifier: Apache-2.0
// Calls to the API of a Firecracker that starts, on a thread.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "base/deadline.h"
#include "base/fd.h"

namespace fc {

struct ApiAnswer {
  std::string version;    // "1.15.1"; of ask_version
  pid_t pid = 0;          // the process that listens; 0 if it is not visible
  bool refused = false;   // the failure is a reply of Firecracker
  std::string failure{};  // why the call failed; empty if it did not
};

// Connects to the API at `socket` and calls GET /version. Waits until a process listens there, and
// stops when `stop` is set.
ApiAnswer ask_version(const std::string& socket, const base::Deadline& deadline,
                      const std::atomic<bool>& stop);
// Calls PUT /snapshot/load.
ApiAnswer load_snapshot(const std::string& socket, const std::string& body,
                        const base::Deadline& deadline);

// Makes one of these calls on a thread.
class ApiCall {
 public:
  explicit ApiCall(const std::function<ApiAnswer(const std::atomic<bool>& stop)>& call);
  // Stops. The caller has ended the VMM, so a call that waits for an answer ends.
  ~ApiCall();
  ApiCall(const ApiCall&) = delete;
  ApiCall(ApiCall&&) = delete;
  ApiCall& operator=(const ApiCall&) = delete;
  ApiCall& operator=(ApiCall&&) = delete;

  // Readable once there is an answer.
  int fd() const { return done_.get(); }
  // Waits no longer until a process listens.
  void stop() { stop_ = true; }
  // Waits for the answer.
  ApiAnswer answer();

 private:
  base::Fd done_;
  std::atomic<bool> stop_ = false;
  ApiAnswer answer_;
  std::thread thread_;
};

}  // namespace fc
