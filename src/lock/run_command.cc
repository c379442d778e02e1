// SPDX-License-Identifier: Apache-2.0
// The wrapper: takes the locks and executes the command.
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/effect.h"
#include "base/error.h"
#include "base/message.h"
#include "lock/lock_request.h"
#include "lock/verbs.h"

namespace lock {
namespace {

// Executes the command. Returns only if that fails, with the exit status that env(1) uses.
int execute(const LockSet& locks, const std::vector<std::string>& command) {
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) {
    words.push_back(const_cast<char*>(word.c_str()));  // execvp does not write to it
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

// Locks descriptors of the caller, and executes the command, if any. The exit statuses are those
// of a program without a command: the caller must tell "open the lock file again" from a failure.
int lock_for_caller(const LockRequest& request, const std::vector<std::string>& command) {
  try {
    const store::Store store = store::Store::from_environment();
    store.require_root();
    if (base::is_dry_run(request.effect)) {
      require_free(store, request.locks);
      return 0;
    }
    // A lock for a caller that was killed would only delay other processes. A command, however, is
    // a step of a flow, and is not cut off.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const LockSet locks = LockSet::take(store, request.locks, request.deadline);
    ::prctl(PR_SET_PDEATHSIG, 0);
    return command.empty() ? 0 : execute(locks, command);
  } catch (const base::Refused& refused) {
    base::report_failure(refused.code(), refused.what(), request.conflict_status);
    return request.conflict_status;
  } catch (const base::TryAgain& again) {
    // Part of the normal course: the caller opens the file that this call has created.
    base::say_info(again.what());
    return static_cast<int>(again.code());
  }
}

}  // namespace

int run_command(int argc, char** argv, const std::vector<std::string>& command) {
  const std::optional<LockRequest> request = parse_lock_request(argc, argv);
  if (!request) {
    return 0;
  }
  if (command.empty()) {
    throw base::UsageError("no command after '--'");
  }
  if (request->for_caller) {
    return lock_for_caller(*request, command);
  }
  try {
    const store::Store store = store::Store::from_environment();
    if (base::is_dry_run(request->effect)) {
      store.require_root();
      require_free(store, request->locks);
      return 0;
    }
    return execute(LockSet::take(store, request->locks, request->deadline), command);
  } catch (const base::UsageError&) {
    throw;
  } catch (const base::Refused& refused) {
    base::report_failure(refused.code(), refused.what(), request->conflict_status);
    return request->conflict_status;
  } catch (const base::Unsupported& error) {
    base::report_failure(error.code(), error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    // The exit status is not the error's own, because the exit statuses of the command use the
    // same range.
    base::report_failure(base::ExitCode::wrapper, error.what(), request->failure_status);
    return request->failure_status;
  }
}

int run_without_command(int argc, char** argv) {
  const std::optional<LockRequest> request = parse_lock_request(argc, argv);
  if (!request) {
    return 0;
  }
  if (!request->for_caller) {
    throw base::UsageError("no command: template-lock ID... -- COMMAND");
  }
  return lock_for_caller(*request, {});
}

}  // namespace lock
