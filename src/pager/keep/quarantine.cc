// SPDX-License-Identifier: Apache-2.0
// Counts the ends of servers by session.
#include "pager/keep/quarantine.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "pager/faults/session_state.h"
#include "pager/kernel/clock.h"

namespace pager {
namespace {

std::string id_in(int state) {
  std::array<char, SessionState::kIdBytes> id{};
  const auto bytes = ::pread(state, id.data(), id.size() - 1, offsetof(SessionState, id));
  return bytes > 0 ? id.data() : "?";
}

}  // namespace

bool Quarantine::note_end(HeldThings& held, uint64_t key) {
  constexpr uint64_t kWithin = 10 * kSecond;
  const auto found = held.find(key);
  if (found == held.end() || found->second.kind != Kept::session) {
    return false;
  }
  const uint64_t now = monotonic_ns();
  std::vector<uint64_t>& ends = ends_[key];
  ends.push_back(now);
  std::erase_if(ends, [now](uint64_t at) { return now - at > kWithin; });
  if (ends.size() < kMost) {
    return false;
  }
  take(held, key);
  return true;
}

void Quarantine::take(HeldThings& held, uint64_t key) {
  auto node = held.extract(key);
  const std::vector<base::Fd>& fds = node.mapped().fds;
  std::string outcome = "; its guest hangs until its VMM is killed (--on-poisonous-session=hold)";
  if (action_ == OnPoisonous::kill) {
    const bool killed =
        fds.size() > kept::kPidfd &&
        ::syscall(SYS_pidfd_send_signal, fds[kept::kPidfd].get(), SIGKILL, nullptr, 0) == 0;
    outcome = killed ? "; killed its VMM" : "; cannot kill its VMM, whose guest hangs";
  }
  base::say_warning("session " + base::quoted(id_in(fds.at(kept::kState).get())) + " ended " +
                    std::to_string(kMost) + " page servers within 10 s and is not served again" +
                    outcome);
  taken_.push_back(std::move(node.mapped()));
  ends_.erase(key);
}

}  // namespace pager
