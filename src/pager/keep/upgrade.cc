// SPDX-License-Identifier: Apache-2.0
// The phases of an upgrade.
#include "pager/keep/upgrade.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>
#include <system_error>
#include <utility>

#include "base/message.h"
#include "pager/faults/session_state.h"

namespace pager {

using Type = KeepMessage::Type;

Upgrade::~Upgrade() {
  if (server_) {
    server_->kill(SIGKILL);
  }
}

void Upgrade::enter(Phase phase) {
  // The first two phases cost no guest anything. In the others a guest may wait.
  constexpr std::chrono::seconds kLong{10};
  constexpr std::chrono::seconds kShort{3};
  phase_ = phase;
  deadline_ = phase == Phase::none ? base::Deadline::never()
                                   : base::Deadline::after(phase <= Phase::checks ? kLong : kShort);
}

int Upgrade::begin(base::Fd program, const ServerProgram& old, const HeldThings& held) {
  if (phase_ != Phase::none || server_) {
    return EBUSY;
  }
  program_ = {.binary = std::move(program), .arguments = old.arguments, .first_only = {}};
  try {
    server_ = KeptServer::start(program_, true);
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  for (const auto& [key, thing] : held) {
    if (thing.kind != Kept::connection) {
      server_->queue(key);
    }
  }
  server_->queue_check();
  page_.upgrade = UpgradeState::running;
  ++page_.upgrades;
  enter(Phase::starts);
  return 0;
}

// Whether the new server reads the states of all sessions.
bool Upgrade::can_read(const HeldThings& held) const {
  return std::ranges::all_of(held, [&](const auto& entry) {
    uint32_t version = 0;
    return entry.second.kind != Kept::session ||
           (::pread(entry.second.fds.at(kept::kState).get(), &version, sizeof version,
                    offsetof(SessionState, version)) == sizeof version &&
            version >= hello_.key && version <= hello_.value);
  });
}

bool Upgrade::handle(const KeepMessage& message, const HeldThings& held) {
  if (message.type == Type::hello && phase_ == Phase::starts) {
    hello_ = message;
    if (can_read(held)) {
      enter(Phase::checks);
    } else {
      fail(UpgradeProblem::version, message.value);
    }
  } else if (message.type == Type::checked && phase_ == Phase::checks) {
    if (message.value == 0) {
      enter(Phase::leaves);
      return true;
    }
    fail(UpgradeProblem::unusable, message.value);
  }
  return false;
}

std::optional<KeptServer> Upgrade::take_server(const HeldThings& held) {
  if (phase_ == Phase::leaves && !can_read(held)) {
    fail(UpgradeProblem::version, hello_.value);
  }
  if (phase_ != Phase::leaves) {
    return std::nullopt;
  }
  enter(Phase::trial);
  return std::exchange(server_, std::nullopt);
}

ServerProgram Upgrade::succeed() {
  enter(Phase::none);
  page_.upgrade_problem = UpgradeProblem::none;
  page_.upgrade = UpgradeState::done;
  return std::exchange(program_, {});
}

void Upgrade::fail(UpgradeProblem problem, uint64_t detail) {
  if (phase_ == Phase::none) {
    return;
  }
  enter(Phase::none);
  page_.upgrade_problem = problem;
  page_.upgrade_detail = detail;
  page_.upgrade = UpgradeState::rolled_back;
  base::say_warning("the upgrade of the page server was rolled back: " + text_of(problem, detail));
  if (server_) {
    server_->kill(SIGKILL);  // reap() waits for it
  }
}

void Upgrade::fail(const KeptServer::End& end) {
  fail(end.exited ? UpgradeProblem::exited : UpgradeProblem::killed,
       static_cast<uint64_t>(end.status));
}

void Upgrade::reap() {
  if (!server_) {
    return;
  }
  if (const std::optional<KeptServer::End> end = server_->end()) {
    fail(*end);
    server_.reset();
  }
}

bool Upgrade::handle_timeout() {
  if (!deadline_.passed()) {
    return false;
  }
  const bool kills = phase_ == Phase::leaves || phase_ == Phase::trial;
  if (phase_ == Phase::leaves) {
    enter(Phase::leaves);  // the keeper kills the old server, which then ends
  } else {
    fail(UpgradeProblem::silent, 0);
  }
  return kills;
}

}  // namespace pager
