// SPDX-License-Identifier: Apache-2.0
// Compares heartbeats in the states with the kernel's count of waiting threads.
#include "pager/keep/hang_watch.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "base/process.h"
#include "pager/faults/session_state.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

struct Beat {
  uint64_t heartbeat = 0;
  uint64_t reading = 0;
};
static_assert(offsetof(SessionState, reading) - offsetof(SessionState, heartbeat) ==
              offsetof(Beat, reading));

std::optional<Beat> read_beat(int state) {
  Beat beat;
  const auto bytes = ::pread(state, &beat, sizeof beat, offsetof(SessionState, heartbeat));
  return bytes == sizeof beat ? std::optional(beat) : std::nullopt;
}

}  // namespace

void HangWatch::start(const HeldThings& held) {
  seen_.clear();
  const bool has_session = std::ranges::any_of(
      held, [](const auto& entry) { return entry.second.kind == Kept::session; });
  constexpr int kChecks = 4;  // in one timeout
  next_ = has_session && timeout_.count() > 0 ? base::Deadline::after(timeout_ / kChecks)
                                              : base::Deadline::never();
}

std::optional<HangWatch::Hang> HangWatch::check(const HeldThings& held, const KeeperPage& page) {
  std::map<uint64_t, Seen> seen = std::move(seen_);
  start(held);
  seen_ = std::move(seen);
  const uint64_t now = monotonic_ns();
  const uint64_t busy_since = page.main_busy_ns.load(std::memory_order_relaxed);
  if (busy_since != 0 &&
      now > busy_since + static_cast<uint64_t>(timeout_.count()) * kMillisecond) {
    return Hang{};
  }
  // A process that was stopped in the middle of a read does not wait for the disk.
  const bool stopped = base::process_is_stopped(static_cast<pid_t>(page.server_pid.load()));
  for (const auto& [key, thing] : held) {
    if (thing.kind == Kept::session && hangs(key, thing, stopped, now)) {
      return Hang{.key = key};
    }
  }
  return std::nullopt;
}

bool HangWatch::hangs(uint64_t key, const HeldThing& thing, bool stopped, uint64_t now) {
  const std::optional<Beat> beat = read_beat(thing.fds.at(kept::kState).get());
  Seen& seen = seen_[key];
  if (!beat || (beat->reading != 0 && !stopped) || seen.since_ns == 0 ||
      beat->heartbeat != seen.heartbeat || uffd_waiters(thing.fds.at(kept::kUffd).get()) == 0) {
    seen = {.heartbeat = beat ? beat->heartbeat : 0, .since_ns = now};
    return false;
  }
  return now > seen.since_ns + static_cast<uint64_t>(timeout_.count()) * kMillisecond;
}

}  // namespace pager
