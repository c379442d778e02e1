// SPDX-License-Identifier: Apache-2.0
// The entry points of template-lock: the wrapper, and one function for each verb.
#pragma once

#include <string>
#include <vector>

namespace lock {

// template-lock [options] ID... -- COMMAND: takes the locks and executes COMMAND. `argc` ends
// before the "--". Returns only if COMMAND was not executed, with the exit status for main. Throws
// base::UsageError.
int run_command(int argc, char** argv, const std::vector<std::string>& command);

// template-lock without "--" and without a verb: --fd (locks for the caller), --help, --version;
// else a usage error.
int run_without_command(int argc, char** argv);

// The verbs skip argv[0]. Each returns the exit status, or throws.
int run_guard(int argc, char** argv);
int run_seal(int argc, char** argv);
int run_unseal(int argc, char** argv);
int run_holders(int argc, char** argv);
int run_wait(int argc, char** argv);
int run_forget(int argc, char** argv);

}  // namespace lock
