// SPDX-License-Identifier: Apache-2.0
// The errors that end a program or one client of it, each with its exit status.
#pragma once

#include <iomanip>  // IWYU pragma: keep (see quoted)
#include <stdexcept>
#include <string>
#include <system_error>

#include "base/exit_code.h"

namespace base {

// Answers (locked, absent, not a reflink filesystem) are return values. An exception is one of
// these classes, or std::system_error for a failed system call (exit status 5). A message reads
// "cannot VERB 'SUBJECT': REASON; ADVICE", without a capital or a full stop.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// The program ran correctly and the answer is no: exit status 1.
class Refused : public Error {
 public:
  explicit Refused(const std::string& message) : Error(ExitCode::no, message) {}
};

// The command line is wrong: exit status 2. Main adds "try 'PROGRAM --help'".
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ExitCode::usage, message) {}
};

// This kernel or filesystem cannot do it: exit status 3.
class Unsupported : public Error {
 public:
  explicit Unsupported(const std::string& message) : Error(ExitCode::unsupported, message) {}
};

// A file or a peer's message is corrupt, hostile, or does not match this image: exit status 4.
class BadData : public Error {
 public:
  explicit BadData(const std::string& message) : Error(ExitCode::bad_data, message) {}
};

// What the caller opened is not, or no longer, what its name means: exit status 75. The caller
// opens it again and repeats the call.
class TryAgain : public Error {
 public:
  explicit TryAgain(const std::string& message) : Error(ExitCode::try_again, message) {}
};

// Throws std::system_error with the current errno, which must be that of the last call. `what` is
// "cannot open 'x'"; std::system_error appends the errno text.
[[noreturn]] void throw_errno(const std::string& what);
// The same for a saved errno, or for a positive error number that a library returned.
[[noreturn]] void throw_error_number(int error_number, const std::string& what);

// Returns 'text' in single quotes, with base::printable applied: the form of a name in a message.
//
// Callers write base::quoted, because argument-dependent lookup resolves quoted(std::string) to
// std::quoted. <iomanip> is included so that an unqualified call fails with every compiler, not
// only with those whose headers include it.
std::string quoted(std::string_view text);

// Returns the exit status for `error`: that of an Error, else 5.
ExitCode exit_code_of(const std::exception& error);

// For bugs in this suite, in all builds: prints the location and aborts if `condition` is false.
#define SNAPFORK_CHECK(condition) \
  ((condition) ? void() : ::base::check_failed(#condition, __FILE__, __LINE__))
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace base
