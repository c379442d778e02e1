// SPDX-License-Identifier: Apache-2.0
// A process that connected and is refused.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/log_limit.h"
#include "pager/faults/vmm.h"

namespace pager {

// What happens to a VMM that is refused after it has sent its userfaultfd. Firecracker keeps a copy
// of the userfaultfd and does not read the socket again, so closing the socket has no effect and
// the guest would hang.
enum class OnRefusal { kill, close };

// The refusals of one session or endpoint. Thread-safe.
class Refusals {
 public:
  struct Last {
    uint64_t count = 0;
    pid_t pid = 0;
    uid_t uid = 0;
    std::string reason;
    std::string outcome;  // "closed", "killed", or "hangs" until its VMM is killed
  };
  void add(const Vmm& vmm, const std::string& reason, const std::string& outcome);
  std::optional<Last> last() const;

  base::LogLimit log;  // limits the messages

 private:
  mutable std::mutex mutex_;
  Last last_;
};

struct RefusedPeer {
  std::string session;  // for messages
  std::shared_ptr<Refusals> refusals;
  OnRefusal on_refusal = OnRefusal::kill;
  Vmm vmm;
  base::Fd socket{};
  std::vector<base::Fd> fds{};  // received so far
  bool sent_userfaultfd = false;

  // Stops further sends of the peer (EPIPE), checks whether it has sent a userfaultfd, kills it if
  // it has and on_refusal requires it, and logs the result. A process that sent no userfaultfd
  // notices the refusal and is never killed; nor is a process without a pidfd, or this process.
  // Closes nothing.
  void enforce(const std::string& reason);

 private:
  void receive_pending();
  std::string outcome() const;
};

}  // namespace pager
