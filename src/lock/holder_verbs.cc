#include <chrono>
#include <optional>

#include "base/error.h"
#include "base/id_lock.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/process.h"
#include "lock/verbs.h"

namespace lock {
namespace {

std::string one_line(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    c = byte < 0x20 || byte == 0x7f ? ' ' : c;
  }
  return text;
}

}  // namespace

int run_holders(int argc, char** argv) {
  base::Options options(
      "template-lock holders", "ID",
      "Print who holds the lock on a guest: PID, mode and command line, one a line.");
  options.footer(
      "Nothing is printed when nobody does. Processes of other users are seen only by\n"
      "root.\n"
      "\n"
      "Exit status: 0 printed, 2 usage, 5 system\n"
      "More: man template-lock");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "an ID is");
  const std::string& id = parsed->operands()[0];
  base::check_id(id);
  const base::Store store = base::Store::from_environment();
  store.require_root();
  for (const base::LockHolder& holder : base::lock_holders(store, id)) {
    const char* mode = holder.mode == base::LockMode::exclusive ? "exclusive" : "shared";
    const std::string command = base::process_command_line(holder.pid);
    base::write_out(base::message_style().json ? base::JsonLine("holder")
                                                         .text("id", id)
                                                         .number("pid", holder.pid)
                                                         .text("mode", mode)
                                                         .text("command", command)
                                                         .str() +
                                                     "\n"
                                               : std::to_string(holder.pid) + "\t" + mode + "\t" +
                                                     one_line(command) + "\n");
  }
  return 0;
}

int run_wait(int argc, char** argv) {
  base::Options options("template-lock wait", "[OPTION]... ID",
                        "Wait until nobody holds the lock on a guest.");
  options.value("until", "WHAT", "free: what is waited for (the default)")
      .value("t,timeout", "S", "wait at most S seconds (default: for ever)")
      .footer(
          "It queues as one who wants the exclusive lock, and gives it up at once.\n"
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
  base::check_id(id);
  const base::Deadline deadline =
      parsed->has("timeout")
          ? base::Deadline::after(std::chrono::milliseconds(parsed->seconds_as_ms("timeout", 0)))
          : base::Deadline::never();
  const base::Store store = base::Store::from_environment();
  if (base::inherited_lock(store, id)) {
    throw base::Refused("cannot wait for " + base::quoted(id) +
                        ": this process has inherited the lock on it");
  }
  if (!base::IdLock::acquire(store, id, base::LockMode::exclusive, deadline)) {
    throw base::Refused(base::quoted(id) + " is not free: " + base::describe_conflict(store, id));
  }
  return 0;
}

}  // namespace lock
