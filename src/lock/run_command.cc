#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/deadline.h"
#include "base/error.h"
#include "base/message.h"
#include "base/options.h"
#include "lock/lock_set.h"
#include "lock/verbs.h"

namespace lock {
namespace {

constexpr int64_t kDefaultPatienceMs = 10'000;  // as every program that takes a lock itself

struct Request {
  std::vector<std::string> ids;
  base::LockMode mode = base::LockMode::exclusive;
  base::Deadline deadline = base::Deadline::never();
  int conflict_status = static_cast<int>(base::ExitCode::no);
};

base::Options make_options() {
  base::Options options("template-lock", "[OPTION]... ID... -- COMMAND [ARGUMENT]...",
                        "Run COMMAND while it holds the locks on the guests ID.");
  options.flag("s,shared", "shared lock: others may hold it shared, too")
      .flag("x,exclusive", "exclusive lock (the default)")
      .value("t,timeout", "S", "wait at most S seconds (default 10)")
      .flag("n,no-wait", "do not wait")
      .value("E,conflict-exit-code", "N", "exit status when locked (default 1)")
      .footer(
          "Verbs, without --:\n"
          "  template-lock guard --for delete|demote|restore ID    may that be done now?\n"
          "  template-lock seal ID       make a guest's memory unwritable; unseal: undo it\n"
          "  template-lock holders ID    who holds the lock\n"
          "  template-lock wait ID       wait until nobody holds it\n"
          "\n"
          "The lock ends with the last process that inherited it from COMMAND.\n"
          "\n"
          "Example: template-lock --shared base -- cp memory /backup/\n"
          "\n"
          "Exit status: COMMAND's; 1 locked, 2 usage, 125 own failure, 126 COMMAND cannot\n"
          "be run, 127 COMMAND not found. Verbs: 0 ok, 1 no, 2 usage, 3 unsupported,\n"
          "4 bad data, 5 system. More: man template-lock");
  return options;
}

// Nothing when --help or --version has been answered.
std::optional<Request> parse(int argc, char** argv) {
  const std::optional<base::ParsedOptions> options = make_options().parse(argc, argv);
  if (!options) {
    return std::nullopt;
  }
  if (options->has("shared") && options->has("exclusive")) {
    throw base::UsageError("--shared and --exclusive exclude each other");
  }
  if (options->has("timeout") && options->has("no-wait")) {
    throw base::UsageError("--timeout and --no-wait exclude each other");
  }
  options->require_operands(1, SIZE_MAX, "one ID or more is");
  constexpr int64_t kMaxStatus = 255;
  const int64_t patience_ms =
      options->has("no-wait") ? 0 : options->seconds_as_ms("timeout", kDefaultPatienceMs);
  return Request{
      .ids = options->operands(),
      .mode = options->has("shared") ? base::LockMode::shared : base::LockMode::exclusive,
      .deadline = base::Deadline::after(std::chrono::milliseconds(patience_ms)),
      .conflict_status = static_cast<int>(options->number("conflict-exit-code", 0, kMaxStatus,
                                                          static_cast<int>(base::ExitCode::no)))};
}

// Becomes the command. Returns, with the status that env(1) gives, only when it cannot be run.
int execute(const LockSet& locks, const std::vector<std::string>& command) {
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) {
    words.push_back(const_cast<char*>(word.c_str()));  // execvp does not write
  }
  words.push_back(nullptr);
  if (const std::string list = locks.environment(); !list.empty()) {
    ::setenv("SNAPFORK_LOCK_FD", list.c_str(), 1);
  }
  locks.keep_across_exec();
  ::execvp(words[0], words.data());
  const int error = errno;
  const base::ExitCode code =
      error == ENOENT ? base::ExitCode::not_found : base::ExitCode::not_executable;
  base::report_failure(code, "cannot run " + base::quoted(command[0]) + ": " +
                                 std::generic_category().message(error));
  return static_cast<int>(code);
}

}  // namespace

int run_command(int argc, char** argv, const std::vector<std::string>& command) {
  const std::optional<Request> request = parse(argc, argv);
  if (!request) {
    return 0;
  }
  if (command.empty()) {
    throw base::UsageError("no command after '--'");
  }
  try {
    const base::Store store = base::Store::from_environment();
    return execute(LockSet::take(store, request->ids, request->mode, request->deadline), command);
  } catch (const base::UsageError&) {
    throw;
  } catch (const base::Refused& refused) {
    base::report_failure(refused.code(), refused.what(), request->conflict_status);
    return request->conflict_status;
  } catch (const std::exception& error) {
    // Not the error's own status: the command's statuses begin where ours end.
    base::report_failure(base::ExitCode::wrapper, error.what());
    return static_cast<int>(base::ExitCode::wrapper);
  }
}

int run_without_command(int argc, char** argv) {
  if (parse(argc, argv)) {
    throw base::UsageError("no command: template-lock ID... -- COMMAND");
  }
  return 0;
}

}  // namespace lock
