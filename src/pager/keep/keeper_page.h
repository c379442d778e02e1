// SPDX-License-Identifier: Apache-2.0
// What the keeper tells about itself, in memory that it shares with its page servers.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/fd.h"

namespace pager {

// Why the keeper started the last server. The words are in keeper_page.cc.
enum class RestartReason : uint32_t { none, killed, crashed, hung, exited, upgraded };
const char* name_of(RestartReason reason);

// How far the last upgrade is, and why it was rolled back. The words are in keeper_page.cc.
enum class UpgradeState : uint32_t { none, running, done, rolled_back };
enum class UpgradeProblem : uint32_t {
  none,
  exited,        // the new server; detail: its exit status
  killed,        // the new server; detail: the signal
  silent,        // it did not answer in time, and was killed
  version,       // it cannot read the states; detail: the newest version that it reads
  unusable,      // it cannot serve sessions or endpoints; detail: their number
  server_ended,  // the server before it ended in between
};
const char* name_of(UpgradeState state);
std::string text_of(UpgradeProblem problem, uint64_t detail);

// The keeper writes it, but for `ready_ns` and `main_busy_ns`. Times are CLOCK_MONOTONIC. Keeper
// and server may be of two releases, so new members are added at the end, and 0 means that the
// other side does not know them.
struct KeeperPage {
  std::atomic<uint64_t> keeper_pid;
  std::atomic<uint64_t> generation;  // servers that have served; 1 for the first
  std::atomic<uint64_t> restarts;
  std::atomic<RestartReason> reason;  // of the last restart
  std::atomic<uint64_t> signal;       // that ended the last server; 0: none
  std::atomic<uint64_t> ended_ns;     // the keeper saw the end of the last server
  std::atomic<uint64_t> ready_ns;     // its successor served all sessions; 0: not yet
  std::atomic<uint64_t> replayed;     // removals that successors found read and not marked
  std::atomic<uint64_t> quarantined;  // sessions (Quarantine)
  // By the handler of a server: the key of the session whose thread met a bug; 0: none.
  std::atomic<uint64_t> crashed_session;
  // Of the server that serves:
  std::atomic<uint64_t> server_pid;
  std::atomic<uint64_t> main_busy_ns;  // its main thread handles events since then; 0: it waits
  std::atomic<uint64_t> upgrades;      // that were begun
  // Of the last of them; `upgrade` is written last.
  std::atomic<UpgradeProblem> upgrade_problem;
  std::atomic<uint64_t> upgrade_detail;
  std::atomic<UpgradeState> upgrade;
  std::atomic<uint64_t> keepers;  // that were started because the one before had ended
  // The settings of the keeper, for the next one.
  std::atomic<uint64_t> hang_timeout_ms;
  std::atomic<uint64_t> holds_poisonous;  // 1: OnPoisonous::hold
};

// How long no server served, around the last restart; 0: no restart, or it is not over.
uint64_t last_stall_ns(const KeeperPage& page);

// Maps the page of a descriptor, forever. With -1 a page of this process alone, all zero.
KeeperPage& map_keeper_page(int fd);
// A memfd for a page. Throws std::system_error.
base::Fd make_keeper_page();

}  // namespace pager
