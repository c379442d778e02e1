// SPDX-License-Identifier: Apache-2.0
// template-lock seal and unseal.
#include <array>
#include <chrono>
#include <cstdio>
#include <optional>

#include "base/effect.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "lock/lock_set.h"
#include "lock/memory_seal.h"
#include "lock/verbs.h"
#include "store/id_lock.h"

namespace lock {
namespace {

// How long seal waits for the exclusive lock if no inherited one covers the id.
constexpr std::chrono::seconds kLockTimeout{10};

using SealFunction = SealReport (&)(const store::Store&, std::string_view, base::Effect);

std::string octal(mode_t mode) {
  std::array<char, 8> text{};
  static_cast<void>(std::snprintf(text.data(), text.size(), "%04o", mode));
  return text.data();
}

void print(const std::string& verb, const std::string& id, const SealReport& report,
           base::Effect effect) {
  const bool changed = report.new_mode != report.old_mode;
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine(verb)
                             .text("id", id)
                             .path("path", report.path)
                             .boolean("changed", changed && !base::is_dry_run(effect))
                             .text("mode", octal(report.new_mode))
                             .number("links", static_cast<int64_t>(report.links))
                             .boolean("lease_checked", report.lease_checked)
                             .str());
  } else if (base::is_dry_run(effect) && changed) {
    base::write_line_out("chmod " + octal(report.new_mode) + " " + report.path);
  } else if (changed) {
    base::say_detail("mode of '" + report.path + "' is " + octal(report.new_mode));
  }
}

// Both verbs share the command line, the lock and the report.
int run(const std::string& verb, base::Options options, SealFunction act, int argc, char** argv) {
  base::add_dry_run(options, "check, and print the steps without executing them");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "an ID is");
  const std::string& id = parsed->operands()[0];
  const base::Effect effect = base::effect_of(*parsed);
  const store::Store store = store::Store::from_environment();
  store::check_id(id);
  store.require_root();
  std::optional<store::IdLock> lock;
  if (base::is_dry_run(effect)) {
    require_free(store, {{.id = id}});
  } else {
    lock = store::require_lock(store, id, store::LockMode::exclusive,
                               base::Deadline::after(kLockTimeout));
  }
  const SealReport report = act(store, id, effect);
  if (verb == "seal" && !report.lease_checked) {
    base::say_warning("cannot prove that no process writes to '" + report.path +
                      "': this filesystem has no leases");
  }
  print(verb, id, report, effect);
  return 0;
}

constexpr const char* kExitStatus =
    "Exit status: 0 done or done before, 1 refused, 2 usage, 4 not a regular file,\n"
    "5 system\n"
    "More: man template-lock";

}  // namespace

int run_seal(int argc, char** argv) {
  base::Options options("template-lock seal", "[OPTION]... ID",
                        "Remove the write permission from a guest's memory file, and prove by a\n"
                        "lease that no process has it open for writing.");
  options.footer(kExitStatus);
  return run("seal", std::move(options), seal_memory, argc, argv);
}

int run_unseal(int argc, char** argv) {
  base::Options options("template-lock unseal", "[OPTION]... ID",
                        "Restore the owner's write permission on the memory file of a guest.");
  options.footer(kExitStatus);
  return run("unseal", std::move(options), unseal_memory, argc, argv);
}

}  // namespace lock
