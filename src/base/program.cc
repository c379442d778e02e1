// SPDX-License-Identifier: Apache-2.0
// Runs a main function: catches exceptions, closes standard output.
#include "base/program.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "base/output.h"

namespace base {

namespace {

// An error may occur before the options are parsed; --json must produce a record for it as well.
bool asks_for_json(int argc, char** argv) {
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    if (std::string_view(argv[i]) == "--json") {
      return true;
    }
  }
  return false;
}

int run_body(std::string_view name, int argc, char** argv,
             const std::function<int(int, char**)>& body) {
  message_style().program = name;
  message_style().json = asks_for_json(argc, argv);
  int status = 0;
  const auto fail = [&](ExitCode code, const std::string& message) {
    status = static_cast<int>(code);
    try {
      report_failure(code, message);
      return true;
    } catch (const std::exception&) {
      return false;  // standard output itself failed; standard error has the message
    }
  };
  try {
    status = body(argc, argv);
  } catch (const UsageError& error) {
    fail(error.code(), error.what());
    say_error("try '" + std::string(name) + " --help' for more information");
  } catch (const std::bad_alloc&) {
    fail(ExitCode::system, "out of memory");
  } catch (const std::exception& error) {
    if (!fail(exit_code_of(error), error.what())) {
      return status;
    }
  }
  try {
    close_out();
  } catch (const std::exception& error) {
    say_error(error.what());
    return status != 0 ? status : static_cast<int>(ExitCode::system);
  }
  return status;
}

}  // namespace

int run_program(std::string_view name, int argc, char** argv,
                const std::function<int(int, char**)>& body) {
  ensure_standard_fds();
  // The kernel's name for a program that was executed by a descriptor is the number of that.
  ::prctl(PR_SET_NAME, std::string(name).c_str());
  const int status = run_body(name, argc, argv, body);
  flush_messages();
  return status;
}

}  // namespace base
