// SPDX-License-Identifier: Apache-2.0
// Parses the command line of the wrapper.
#include "lock/lock_request.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/number.h"
#include "base/options.h"

namespace lock {
namespace {

constexpr int64_t kDefaultTimeoutMs = 10'000;  // as for every program of the suite

base::Options make_options() {
  base::Options options("template-lock", "[OPTION]... ID... -- COMMAND [ARGUMENT]...",
                        "Run COMMAND while it holds the locks on the guests ID.");
  options.flag("s,shared", "take a shared lock on the ids that follow")
      .flag("x,exclusive", "an exclusive lock on the ids that follow (default)")
      .value("t,timeout", "S", "wait at most S seconds (default 10)")
      .flag("n,no-wait", "do not wait; after -s or -x: for its ids only")
      .value("E,conflict-exit-code", "N", "exit status if the lock is held (default 1)")
      .value("failure-exit-code", "N", "exit status if template-lock fails (default 125)")
      .value("fd", "N", "lock the caller's descriptor N for the id that follows")
      .flag("dry-run", "check that the locks are free, run nothing")
      .footer(
          "Verbs, without --:\n"
          "  template-lock guard --for delete|demote|restore|write ID   is it permitted?\n"
          "  template-lock seal ID       make a guest's memory read-only; unseal: undo it\n"
          "  template-lock holders ID    list the holders of the lock\n"
          "  template-lock wait ID       wait until the lock is free\n"
          "  template-lock forget ID     remove the lock files of an id that does not exist\n"
          "With --fd, the lock stays with the caller's open file.\n"
          "\n"
          "The lock ends with the last process that inherited it from COMMAND.\n"
          "\n"
          "Example: template-lock --shared base --exclusive -n copy -- ./copy base copy\n"
          "\n"
          "Exit status: COMMAND's; 1 locked, 2 usage, 3 unsupported store, 125 failure,\n"
          "126 COMMAND cannot be run, 127 COMMAND not found. Verbs: 0 ok, 1 no, 2 usage,\n"
          "3 unsupported, 4 bad data, 5 system; --fd: also 75, open N again.\n"
          "More: man template-lock");
  return options;
}

// The ids that belong to one mode option.
struct Group {
  store::LockMode mode = store::LockMode::exclusive;
  bool waits = true;
  struct Id {
    std::string name;
    std::optional<store::CallersFile> file;
  };
  std::vector<Id> ids;
};

store::CallersFile file_of(const std::string& number) {
  const std::optional<int> fd = base::parse_number<int>(number);
  if (!fd || *fd < 0 || ::fcntl(*fd, F_GETFD) == -1) {
    throw base::UsageError("bad value " + base::quoted(number) +
                           " for --fd: the number of an open descriptor is needed");
  }
  return {.fd = *fd, .owner = ::getppid()};
}

std::vector<Group> split_into_groups(const std::vector<base::ParsedOptions::Word>& words) {
  std::vector<Group> groups(1);
  std::optional<store::CallersFile> file;
  for (const auto& [name, value] : words) {
    if (name.empty()) {
      groups.back().ids.push_back({.name = value, .file = std::exchange(file, std::nullopt)});
    } else if (name == "fd") {
      if (file) {
        throw base::UsageError("no ID after --fd " + std::to_string(file->fd));
      }
      file = file_of(value);
    } else if (name == "no-wait") {
      groups.back().waits = false;
    } else if (name == "shared" || name == "exclusive") {
      groups.push_back(
          {.mode = name == "shared" ? store::LockMode::shared : store::LockMode::exclusive,
           .waits = true,
           .ids = {}});
    }
  }
  if (file) {
    throw base::UsageError("no ID after --fd " + std::to_string(file->fd));
  }
  return groups;
}

// "ID --shared" is accepted: a single mode option may follow all ids.
void let_last_mode_apply(std::vector<Group>& groups) {
  if (groups.size() == 2 && groups[1].ids.empty()) {
    groups[1].ids.swap(groups[0].ids);
    groups[1].waits = groups[1].waits && groups[0].waits;
  }
}

std::vector<WantedLock> locks_of(std::vector<Group> groups) {
  let_last_mode_apply(groups);
  const bool none_waits = groups[0].ids.empty() && !groups[0].waits;
  std::vector<WantedLock> locks;
  for (size_t i = 0; i < groups.size(); ++i) {
    const Group& group = groups[i];
    if (i > 0 && group.ids.empty()) {
      throw base::UsageError(std::string("no ID after --") +
                             (group.mode == store::LockMode::shared ? "shared" : "exclusive"));
    }
    for (const Group::Id& id : group.ids) {
      locks.push_back({.id = id.name,
                       .mode = group.mode,
                       .waits = group.waits && !none_waits,
                       .file = id.file});
    }
  }
  return locks;
}

}  // namespace

std::optional<LockRequest> parse_lock_request(int argc, char** argv) {
  const std::optional<base::ParsedOptions> options = make_options().parse(argc, argv);
  if (!options) {
    return std::nullopt;
  }
  options->require_operands(1, SIZE_MAX, "one ID or more is");
  LockRequest request;
  request.locks = locks_of(split_into_groups(options->in_order()));
  request.for_caller = options->has("fd");
  if (request.for_caller &&
      std::ranges::any_of(request.locks, [](const WantedLock& lock) { return !lock.file; })) {
    throw base::UsageError("each ID needs a --fd before it, or none has one");
  }
  if (options->has("timeout") && std::ranges::none_of(request.locks, &WantedLock::waits)) {
    throw base::UsageError("--timeout and --no-wait exclude each other");
  }
  const int64_t timeout_ms = options->seconds_as_ms("timeout", kDefaultTimeoutMs);
  request.deadline = base::Deadline::after(std::chrono::milliseconds(timeout_ms));
  constexpr int kMaxStatus = 255;
  request.conflict_status = static_cast<int>(
      options->number("conflict-exit-code", 0, kMaxStatus, static_cast<int>(base::ExitCode::no)));
  request.effect = base::effect_of(*options);
  request.failure_status = static_cast<int>(options->number(
      "failure-exit-code", 0, kMaxStatus, static_cast<int>(base::ExitCode::wrapper)));
  return request;
}

}  // namespace lock
