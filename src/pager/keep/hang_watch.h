// SPDX-License-Identifier: Apache-2.0
// Finds page servers that do not serve although their processes exist.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "base/deadline.h"
#include "pager/keep/keeper_link.h"
#include "pager/keep/keeper_page.h"

namespace pager {

// A session hangs if threads of its guest wait for a page, its fault loop makes no round, and its
// thread does not wait for the image, all of that for the timeout. The server hangs if its main
// thread is busy with one event for the timeout. Works only while sessions exist.
class HangWatch {
 public:
  // 0: never reports a hang.
  explicit HangWatch(std::chrono::milliseconds timeout) : timeout_(timeout) {}

  // Call check() then.
  const base::Deadline& next() const { return next_; }
  struct Hang {
    uint64_t key = 0;  // of the session; 0: the main thread
  };
  std::optional<Hang> check(const HeldThings& held, const KeeperPage& page);
  // Another server serves, or a session was added: begins anew.
  void start(const HeldThings& held);
  void stop() { next_ = base::Deadline::never(); }

 private:
  struct Seen {
    uint64_t heartbeat = 0;
    uint64_t since_ns = 0;  // it has not changed while threads waited
  };
  bool hangs(uint64_t key, const HeldThing& thing, bool stopped, uint64_t now);

  std::chrono::milliseconds timeout_;
  base::Deadline next_ = base::Deadline::never();
  std::map<uint64_t, Seen> seen_;
};

}  // namespace pager
