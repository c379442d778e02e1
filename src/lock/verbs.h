// SPDX-License-Identifier: Apache-2.0
// The command lines of template-lock: the wrapper, and one function for each verb.
#pragma once

#include <string>
#include <vector>

namespace lock {

// template-lock [options] ID... -- COMMAND: takes the locks and becomes COMMAND. `argc` ends before
// the "--". Returns only when it does not come to that, with the status for main to return; throws
// base::UsageError.
int run_command(int argc, char** argv, const std::vector<std::string>& command);

// What template-lock does without "--" and without a verb: --help, --version, else a usage error.
int run_without_command(int argc, char** argv);

// The verbs; argv[0] is skipped. Each returns the status, or throws.
int run_guard(int argc, char** argv);
int run_seal(int argc, char** argv);
int run_unseal(int argc, char** argv);
int run_holders(int argc, char** argv);
int run_wait(int argc, char** argv);
int run_forget(int argc, char** argv);

}  // namespace lock
