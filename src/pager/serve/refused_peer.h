// SPDX-License-Identifier: Apache-2.0
// A process that connected to be served, and is not.
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

// What becomes of a VMM that is refused after its userfaultfd has come. Firecracker keeps a copy of
// its own and does not look at the socket again: closing that is no answer, and its guest would
// wait forever.
enum class OnRefusal { kill, close };

// The refusals of one session or endpoint. Safe to use from any thread.
class Refusals {
 public:
  struct Last {
    uint64_t count = 0;
    pid_t pid = 0;
    uid_t uid = 0;
    std::string reason;
    std::string outcome;  // "closed", "killed", "hangs": its guest, until somebody ends it
  };
  void add(const Vmm& vmm, const std::string& reason, const std::string& outcome);
  std::optional<Last> last() const;

  base::LogLimit log;  // of the messages about them

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
  std::vector<base::Fd> fds{};  // that came already
  bool sent_userfaultfd = false;

  // Lets the peer send no more (EPIPE), finds out whether it has sent a userfaultfd, then kills it,
  // or not, and logs that. A process that sent none can still notice that it was refused, and is
  // never killed; neither is one that has no pidfd, or is this one. Closes nothing.
  void settle(const std::string& reason);

 private:
  void read_what_has_come();
  std::string outcome() const;
};

}  // namespace pager
