// SPDX-License-Identifier: Apache-2.0
// Shows the progress of a long copy.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace cloning {

enum class ProgressMode {
  automatic,  // a line on a terminal, after the first second; not with -q or --json
  always,     // from the start; one line per update if there is no terminal
  never,
};

// The line on a terminal is erased at the end, and never wider than the terminal. Several threads
// may call add().
class Progress {
 public:
  explicit Progress(ProgressMode mode = ProgressMode::automatic);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  Progress(Progress&&) = delete;
  Progress& operator=(Progress&&) = delete;
  ~Progress() { erase(); }

  // From here on, add() counts towards the `total` bytes of `name`.
  void begin(std::string_view name, int64_t total);
  void add(int64_t bytes);
  // Shows that the counted data is being flushed to the disk, which reports no progress.
  void flush();
  // Call this before anything else is written to the terminal.
  void erase();

 private:
  void show(const std::string& rest);
  std::string figures() const;

  bool on_terminal_;
  bool enabled_;
  std::chrono::milliseconds quiet_time_;
  std::mutex mutex_;
  bool drawn_ = false;
  std::string name_;
  int64_t total_ = 0;
  int64_t done_ = 0;
  std::chrono::steady_clock::time_point begun_;
  std::chrono::steady_clock::time_point next_draw_;
};

// Returns `name` and `rest` in at most `width` columns. The beginning of a longer name is replaced
// by "...". Each character counts as one column.
std::string fitted(const std::string& name, const std::string& rest, size_t width);

}  // namespace cloning
