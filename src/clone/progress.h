// SPDX-License-Identifier: Apache-2.0
// How far a long copy is.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace cloning {

enum class ProgressMode {
  automatic,  // a line that is drawn after the first second, on a terminal, not with -q or --json
  always,     // from the beginning; a line of its own each time where there is no terminal
  never,
};

// The line on a terminal is erased at the end, and never wider than the terminal. Threads may call
// add() at the same time.
class Progress {
 public:
  explicit Progress(ProgressMode mode = ProgressMode::automatic);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  Progress(Progress&&) = delete;
  Progress& operator=(Progress&&) = delete;
  ~Progress() { erase(); }

  // From here on add() counts towards `total` bytes of `name`.
  void begin(std::string_view name, int64_t total);
  void add(int64_t bytes);
  // What was counted is being flushed to the disk, which takes its time and reports nothing.
  void flush();
  // Before anything else is written to the terminal.
  void erase();

 private:
  void show(const std::string& rest);
  std::string figures() const;

  bool on_terminal_;
  bool enabled_;
  std::chrono::milliseconds patience_;
  std::mutex mutex_;
  bool drawn_ = false;
  std::string name_;
  int64_t total_ = 0;
  int64_t done_ = 0;
  std::chrono::steady_clock::time_point begun_;
  std::chrono::steady_clock::time_point next_draw_;
};

// `name` and `rest` in at most `width` columns: of a longer name the end is kept, after "...". One
// column is taken for each character.
std::string fitted(const std::string& name, const std::string& rest, size_t width);

}  // namespace cloning
