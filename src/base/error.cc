// SPDX-License-Identifier: Apache-2.0
// Throws errors, quotes names, and maps exceptions to exit statuses.
#include "base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/utf8.h"

namespace base {

const char* exit_code_name(ExitCode code) {
  switch (code) {
    case ExitCode::ok:
      return "ok";
    case ExitCode::no:
      return "no";
    case ExitCode::usage:
      return "usage";
    case ExitCode::unsupported:
      return "unsupported";
    case ExitCode::bad_data:
      return "bad_data";
    case ExitCode::system:
      return "system";
    case ExitCode::try_again:
      return "try_again";
    case ExitCode::wrapper:
      return "wrapper";
    case ExitCode::not_executable:
      return "not_executable";
    case ExitCode::not_found:
      return "not_found";
  }
  return "unknown";
}

void throw_errno(const std::string& what) {
  throw_error_number(errno, what);
}

void throw_error_number(int error_number, const std::string& what) {
  throw std::system_error(error_number, std::generic_category(), what);
}

std::string quoted(std::string_view text) {
  return "'" + printable(text) + "'";
}

ExitCode exit_code_of(const std::exception& error) {
  const auto* ours = dynamic_cast<const Error*>(&error);
  return ours != nullptr ? ours->code() : ExitCode::system;
}

void check_failed(const char* condition, const char* file, int line) {
  static_cast<void>(
      std::fprintf(stderr, "snapfork: bug: %s:%d: '%s' is false\n", file, line, condition));
  std::abort();
}

}  // namespace base
