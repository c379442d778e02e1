// SPDX-License-Identifier: Apache-2.0
// template-lock holders and wait: list the holders of a lock, wait until it is free.
#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/process.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "lock/verbs.h"
#include "store/id_lock.h"
#include "store/id_lock_holders.h"
#include "store/inherited_locks.h"

namespace lock {
namespace {

const char* mode_name(const store::LockHolder& holder) {
  return holder.mode == store::LockMode::exclusive ? "exclusive" : "shared";
}

std::string record_of(const std::string& id, const store::LockHolder& holder) {
  base::JsonLine line("holder");
  line.text("id", id).number("pid", holder.pid).text("mode", mode_name(holder));
  if (holder.since_ms) {
    line.text("since", base::rfc3339_of_ms(*holder.since_ms));
  } else {
    line.null("since");
  }
  if (holder.orphaned_by != 0) {
    line.number("orphaned_by", holder.orphaned_by);
  } else {
    line.null("orphaned_by");
  }
  return line.text("command", base::process_command_line(holder.pid)).str();
}

std::string line_of(const store::LockHolder& holder) {
  std::string line = std::to_string(holder.pid) + "\t" + mode_name(holder) + "\t" +
                     (holder.since_ms ? base::rfc3339_of_ms(*holder.since_ms) : "-") + "\t" +
                     base::printable(base::process_command_line(holder.pid));
  if (holder.orphaned_by != 0) {
    line += "\torphaned by " + std::to_string(holder.orphaned_by);
  }
  return line;
}

}  // namespace

int run_holders(int argc, char** argv) {
  base::Options options(
      "template-lock holders", "ID",
      "Print the holders of the lock on a guest: PID, mode, start time, command line.");
  options.footer(
      "If no process holds the lock, nothing is printed. A holder that inherited the\n"
      "lock from a process that has ended is \"orphaned by\" that process. Only root sees\n"
      "the processes of other users.\n"
      "\n"
      "Exit status: 0 printed, 2 usage, 5 system\n"
      "More: man template-lock");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "an ID is");
  const std::string& id = parsed->operands()[0];
  store::check_id(id);
  const store::Store store = store::Store::from_environment();
  store.require_root();
  for (const store::LockHolder& holder : store::lock_holders(store, id)) {
    base::write_out((base::message_style().json ? record_of(id, holder) : line_of(holder)) + "\n");
  }
  return 0;
}

int run_wait(int argc, char** argv) {
  base::Options options("template-lock wait", "[OPTION]... ID",
                        "Wait until no process holds the lock on a guest.");
  options.value("until", "WHAT", "the condition: free (the default)")
      .value("t,timeout", "S", "wait at most S seconds (default: no limit)")
      .footer(
          "While it waits, other processes can take the lock: under constant traffic the\n"
          "wait may never end.\n"
          "\n"
          "Exit status: 0 free, 1 still held, 2 usage, 5 system\n"
          "More: man template-lock");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->choice("until", {"free"});
  parsed->require_operands(1, 1, "an ID is");
  const std::string& id = parsed->operands()[0];
  store::check_id(id);
  const base::Deadline deadline =
      parsed->has("timeout")
          ? base::Deadline::after(std::chrono::milliseconds(parsed->seconds_as_ms("timeout", 0)))
          : base::Deadline::never();
  const store::Store store = store::Store::from_environment();
  if (store::inherited_lock(store, id)) {
    throw base::Refused("cannot wait for " + base::quoted(id) +
                        ": this process has inherited the lock on it");
  }
  if (!store::wait_until_free(store, id, deadline)) {
    throw base::Refused(base::quoted(id) + " is not free: " + store::describe_conflict(store, id));
  }
  return 0;
}

}  // namespace lock
