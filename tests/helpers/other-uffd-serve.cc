// SPDX-License-Identifier: Apache-2.0
// Page servers for tests of upgrades. The name of the file selects one of them:
//
//| newer         uffd-serve of a later release: creates states of the next version, and reads those
//|               of this one
//| older         uffd-serve of an earlier release: creates and reads states of the version before
//| silent        does not speak to the keeper
//| dies          ends before it speaks to the keeper
//| unable        reports that it cannot serve one thing
//| late-dies     ends when it is to serve
//| late-hangs    does not report that it is ready
//
// For everything else it is uffd-serve.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/program.h"
#include "pager/faults/session_state.h"
#include "pager/faults/state_versions.h"
#include "pager/keep/keeper_link.h"
#include "pager/serve/serve_command.h"

namespace {

std::string own_name() {
  return std::filesystem::read_symlink("/proc/self/exe").filename();
}

[[noreturn]] void hang() {
  for (;;) {
    ::pause();
  }
}

int misbehave(std::string_view name, int socket) {
  if (name == "silent") {
    hang();
  }
  if (name == "dies") {
    return 7;
  }
  pager::KeeperLink link{base::Fd(socket)};
  const auto held =
      link.wait_to_serve({.prepare = [](uint64_t, const pager::HeldThing&) {},
                          .discard = [](uint64_t, pager::HeldThing) {},
                          .problems = [name]() -> uint64_t { return name == "unable" ? 1 : 0; }});
  if (!held) {
    return 0;
  }
  if (name == "late-dies") {
    std::abort();
  }
  hang();
}

}  // namespace

// Instead of that of the library.
pager::StateVersions pager::state_versions() {
  constexpr uint32_t kVersion = SessionState::kVersion;
  const std::string name = own_name();
  return name == "newer"   ? StateVersions{.oldest = kVersion, .newest = kVersion + 1}
         : name == "older" ? StateVersions{.oldest = kVersion - 1, .newest = kVersion - 1}
                           : StateVersions{.oldest = kVersion, .newest = kVersion};
}

int main(int argc, char** argv) {
  const std::string name = own_name();
  constexpr std::string_view kOption = "--keeper-fd=";
  if (name != "newer" && name != "older" && argc > 1 &&
      std::string_view(argv[1]).starts_with(kOption)) {
    return misbehave(name, std::stoi(argv[1] + kOption.size()));
  }
  return base::run_program("uffd-serve", argc, argv, pager::run_serve_command);
}
