// SPDX-License-Identifier: Apache-2.0
// Makes and maps the keeper's page.
#include "pager/keep/keeper_page.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"

namespace pager {

const char* name_of(RestartReason reason) {
  switch (reason) {
    case RestartReason::killed:
      return "killed";
    case RestartReason::crashed:
      return "crashed";
    case RestartReason::hung:
      return "hung";
    case RestartReason::exited:
      return "exited";
    case RestartReason::upgraded:
      return "upgraded";
    case RestartReason::none:
      break;
  }
  return "none";
}

const char* name_of(UpgradeState state) {
  switch (state) {
    case UpgradeState::running:
      return "running";
    case UpgradeState::done:
      return "done";
    case UpgradeState::rolled_back:
      return "rolled_back";
    case UpgradeState::none:
      break;
  }
  return "none";
}

std::string text_of(UpgradeProblem problem, uint64_t detail) {
  switch (problem) {
    case UpgradeProblem::exited:
      return "it exited with status " + std::to_string(detail) + " before it served";
    case UpgradeProblem::killed:
      return "it was killed by signal " + std::to_string(detail) + " (" +
             ::strsignal(static_cast<int>(detail)) + ") before it served";
    case UpgradeProblem::silent:
      return "it did not answer in time";
    case UpgradeProblem::version:
      return "it reads states of sessions up to version " + std::to_string(detail) +
             ", and there are others";
    case UpgradeProblem::unusable:
      return "it cannot serve " + std::to_string(detail) +
             " of the sessions and endpoints; see the log of the server";
    case UpgradeProblem::server_ended:
      return "the server before it ended during the upgrade";
    case UpgradeProblem::none:
      break;
  }
  return "";
}

uint64_t last_stall_ns(const KeeperPage& page) {
  const uint64_t ended = page.ended_ns;
  const uint64_t ready = page.ready_ns;
  return ended != 0 && ready > ended ? ready - ended : 0;
}

KeeperPage& map_keeper_page(int fd) {
  void* memory = ::mmap(nullptr, sizeof(KeeperPage), PROT_READ | PROT_WRITE,
                        fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  if (memory == MAP_FAILED) {
    base::throw_errno("cannot map the keeper's page");
  }
  return *static_cast<KeeperPage*>(memory);
}

base::Fd make_keeper_page() {
  base::Fd fd(::memfd_create("snapfork-keeper", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), sizeof(KeeperPage)) != 0) {
    base::throw_errno("cannot create the keeper's page");
  }
  return fd;
}

}  // namespace pager
