// How far a long copy is, on a terminal only.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace cloning {

// Nothing is drawn in the first second, and nothing at all when standard error is no terminal or
// with -q or --json. The line is erased at the end.
class Progress {
 public:
  Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  Progress(Progress&&) = delete;
  Progress& operator=(Progress&&) = delete;
  ~Progress() { erase(); }

  // From here on add() counts towards `total` bytes of `name`.
  void begin(std::string_view name, int64_t total);
  void add(int64_t bytes);
  // Before anything else is written to the terminal.
  void erase();

 private:
  bool enabled_;
  bool drawn_ = false;
  std::string name_;
  int64_t total_ = 0;
  int64_t done_ = 0;
  std::chrono::steady_clock::time_point begun_;
  std::chrono::steady_clock::time_point next_draw_;
};

}  // namespace cloning
