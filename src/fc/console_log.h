// SPDX-License-Identifier: Apache-2.0
// Writes the output of a VMM to two files of bounded size, and never delays the VMM.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/fd.h"

namespace fc {

// A guest can write to its serial line without end. Each file gets at most this many bytes, then
// `console` becomes `console.1`, and the older one is lost.
inline constexpr size_t kConsoleBytes = size_t{1} << 20U;

// A thread reads the pipe, and a base::BackgroundWriter writes the file. If the file cannot be
// written (a full disk) or blocks, output is lost and the pipe is read all the same: a VMM whose
// output blocks would stop its guest.
class ConsoleLog {
 public:
  // `pipe` is non-blocking. `directory` is that of the files.
  ConsoleLog(base::Fd pipe, std::shared_ptr<const base::Fd> directory);
  // Reads what the pipe still has, and waits at most one second until it is written.
  ~ConsoleLog();
  ConsoleLog(const ConsoleLog&) = delete;
  ConsoleLog(ConsoleLog&&) = delete;
  ConsoleLog& operator=(const ConsoleLog&) = delete;
  ConsoleLog& operator=(ConsoleLog&&) = delete;

  // The last lines that the VMM wrote, separated by " | ", at most about 1000 bytes. Reads what the
  // pipe still has; for a VMM that has ended. No output is read after this call.
  std::string last_lines();

 private:
  class Reader;
  std::unique_ptr<Reader> reader_;
};

}  // namespace fc
