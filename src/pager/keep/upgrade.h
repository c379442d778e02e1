// SPDX-License-Identifier: Apache-2.0
// A server of another program that is to replace the one that serves.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/deadline.h"
#include "base/fd.h"
#include "pager/keep/keeper_link.h"
#include "pager/keep/keeper_page.h"
#include "pager/keep/kept_server.h"

namespace pager {

// The server that waits for the old program remains until the new server is ready, so that it can
// serve at once if the new one fails:
//
//| starts   the new server has not said hello
//| checks   it prepares what the keeper holds, and reports what it cannot serve
//| leaves   the old server was asked to leave its guests; it has not ended
//| trial    the new server serves; it has not reported that it is ready
//
// Each phase has a time limit.
class Upgrade {
 public:
  enum class Phase { none, starts, checks, leaves, trial };

  explicit Upgrade(KeeperPage& page) : page_(page) {}
  // Ends the new server, unless it was taken.
  ~Upgrade();
  Upgrade(const Upgrade&) = delete;
  Upgrade(Upgrade&&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;
  Upgrade& operator=(Upgrade&&) = delete;

  // Starts a server of the program. Returns 0 or an errno; EBUSY: an upgrade runs.
  int begin(base::Fd program, const ServerProgram& old, const HeldThings& held);
  Phase phase() const { return phase_; }
  bool is_trial() const { return phase_ == Phase::trial; }
  // The new server, until it is taken.
  std::optional<KeptServer>& server() { return server_; }
  bool is_server(const KeptServer& server) const { return server_ && &server == &*server_; }

  // Handles a message of the new server. Returns whether the old one has to leave now.
  bool handle(const KeepMessage& message, const HeldThings& held);
  // Call it when the old server has ended in the phase `leaves`. The trial begins, unless the new
  // server cannot read a state that was created since the check: then the upgrade fails, and this
  // returns nothing.
  std::optional<KeptServer> take_server(const HeldThings& held);
  // Call it when the server on trial is ready. Returns its program.
  ServerProgram succeed();
  // Rolls back: the old program serves on.
  void fail(UpgradeProblem problem, uint64_t detail);
  // Fails with the end of the new server as the reason.
  void fail(const KeptServer::End& end);
  // Waits for a new server that has ended.
  void reap();

  // The time limit of the phase.
  const base::Deadline& deadline() const { return deadline_; }
  // Call it after the limit. Returns whether the server that serves has to be killed: it does not
  // leave, or it is on trial and not ready.
  bool handle_timeout();

 private:
  void enter(Phase phase);
  bool can_read(const HeldThings& held) const;

  KeeperPage& page_;
  Phase phase_ = Phase::none;
  base::Deadline deadline_ = base::Deadline::never();
  ServerProgram program_;
  std::optional<KeptServer> server_;
  KeepMessage hello_;  // of the new server
};

}  // namespace pager
