// SPDX-License-Identifier: Apache-2.0
// Starts a program as a child that inherits nothing but its standard streams.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"

namespace fc {

// The path of the program that execvp(3) would run. Throws base::Error with the status not_found or
// not_executable.
std::string find_program(const std::string& name);

struct VmmCommand {
  std::vector<std::string> words;  // the first is the path of the program
  base::Fd input;                  // its standard input
  base::Fd netns;                  // the network namespace to enter, if open
  // For a VMM in a jail: called in the child before execv(3), may throw. The child is then in a PID
  // namespace of its own.
  std::function<void()> enter_jail{};
};

struct StartedVmm {
  pid_t pid = 0;
  base::Fd pidfd;
  pid_t child = 0;  // the child of this process: the VMM, or the first process of its namespace
  base::Fd child_pidfd;
  base::Fd console;  // reads its standard output and error; non-blocking
};

// The child leads a session of its own, has no descriptors but 0, 1 and 2, default signal
// dispositions, umask 077, and none of the variables by which this suite passes descriptors. It is
// killed when the calling thread ends (PidNamespace, if it is jailed). Call it before other threads
// exist. Throws base::Error with the status not_found, not_executable or wrapper if the program
// cannot be executed.
StartedVmm start_vmm(VmmCommand command);

}  // namespace fc
