#include "base/program.h"

#include <unistd.h>

#include <exception>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "base/output.h"

namespace base {

namespace {

int run_body(std::string_view name, int argc, char** argv,
             const std::function<int(int, char**)>& body) {
  message_style().program = name;
  int status = 0;
  try {
    status = body(argc, argv);
  } catch (const UsageError& error) {
    status = static_cast<int>(error.code());
    report_failure(error.code(), error.what());
    say_error("try '" + std::string(name) + " --help' for more information");
  } catch (const std::exception& error) {
    const ExitCode code = exit_code_of(error);
    status = static_cast<int>(code);
    try {
      report_failure(code, error.what());
    } catch (const std::exception&) {
      // Standard output is what failed; the message on standard error has been said.
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
  const int status = run_body(name, argc, argv, body);
  flush_messages();
  return status;
}

}  // namespace base
