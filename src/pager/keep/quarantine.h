// SPDX-License-Identifier: Apache-2.0
// Sessions that end server after server.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "pager/keep/keeper_link.h"

namespace pager {

enum class OnPoisonous { kill, hold };

// A session that was the cause of kMost ends of servers within 10 s gets no further server. Only a
// bug in its thread and a hang of its thread count, not SIGKILL.
class Quarantine {
 public:
  static constexpr size_t kMost = 3;

  explicit Quarantine(OnPoisonous action) : action_(action) {}

  // Call it after the end of a server that a session caused. If the session has reached the limit,
  // takes it out of `held`, and returns true. Its descriptors stay open here, because missing pages
  // of a guest become zeros when the last one is closed. With OnPoisonous::kill its VMM is killed.
  bool note_end(HeldThings& held, uint64_t key);

 private:
  void take(HeldThings& held, uint64_t key);

  OnPoisonous action_;
  std::map<uint64_t, std::vector<uint64_t>> ends_;  // by session: times in ns
  std::vector<HeldThing> taken_;  // not by key: a later session may get the key of one of these
};

}  // namespace pager
