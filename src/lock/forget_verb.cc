// SPDX-License-Identifier: Apache-2.0
// template-lock forget: removes the lock files of ids that no process uses.
#include <optional>
#include <string>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "lock/verbs.h"
#include "meta/flows/leftovers.h"
#include "store/id_lock_forget.h"
#include "store/id_lock_holders.h"

namespace lock {
namespace {

constexpr size_t kAnyNumber = 1'000'000;

// Returns the reason to keep the files; empty if there is none.
std::string why_kept(const store::Store& store, const std::string& id, store::LockFiles files) {
  switch (files) {
    case store::LockFiles::in_use:
      return "the lock is " + store::describe_conflict(store, id);
    case store::LockFiles::foreign:
      return "a file of that name is not an empty regular file with one link";
    case store::LockFiles::idle:
    case store::LockFiles::absent:
      break;
  }
  return "";
}

void forget(const store::Store& store, const std::string& id, base::Effect effect) {
  std::string reason = "the id is used";
  bool removed = false;
  if (meta::is_unused_id(store, id)) {
    const store::LockFiles files =
        base::is_dry_run(effect) ? store::examine_lock(store, id) : store::forget_lock(store, id);
    removed = files == store::LockFiles::idle;
    reason = why_kept(store, id, files);
  }
  if (base::message_style().json) {
    base::JsonLine line("forget");
    line.text("id", id).boolean("removed", removed && !base::is_dry_run(effect));
    reason.empty() ? line.null("reason") : line.text("reason", reason);
    base::write_line_out(line.str());
  } else if (base::is_dry_run(effect) && removed) {
    base::write_line_out("would remove the lock files of " + id);
  } else if (!reason.empty()) {
    base::say_info("the lock files of " + base::quoted(id) + " are kept: " + reason);
  }
}

}  // namespace

int run_forget(int argc, char** argv) {
  base::Options options("template-lock forget", "[OPTION]... ID...",
                        "Remove the lock files of ids that do not exist.");
  base::add_dry_run(options, "print what would be removed")
      .footer(
          "The files of an id are kept if a guest has the id, if .snapfork/tmp or\n"
          ".snapfork/trash has files of it, or if a process holds the lock or waits for\n"
          "it. That is not an error.\n"
          "\n"
          "Exit status: 0 removed, kept or absent, 2 usage, 5 system\n"
          "More: man template-lock");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, kAnyNumber, "an ID is");
  for (const std::string& id : parsed->operands()) {
    store::check_id(id);
  }
  const store::Store store = store::Store::from_environment();
  store.require_root();
  for (const std::string& id : parsed->operands()) {
    forget(store, id, base::effect_of(*parsed));
  }
  return 0;
}

}  // namespace lock
