// SPDX-License-Identifier: Apache-2.0
// Draws the progress line.
#include "clone/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/message.h"
#include "clone/report.h"

namespace cloning {
namespace {

constexpr std::chrono::milliseconds kQuietTime{1000};
constexpr std::chrono::milliseconds kRedrawAfter{200};
constexpr std::string_view kEraseLine = "\r\033[K";

bool is_wanted(ProgressMode mode) {
  const base::MessageStyle& style = base::message_style();
  return mode == ProgressMode::always || (mode == ProgressMode::automatic &&
                                          style.verbosity != base::Verbosity::quiet && !style.json);
}

// Returns whether standard error is a terminal that can erase lines; those of editors and logs
// cannot.
bool can_erase_lines() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && *term != '\0' &&
         std::string_view(term) != "dumb";
}

// The last column stays free: some terminals start a new line when it is filled.
size_t terminal_width() {
  constexpr size_t kUsual = 80;
  struct winsize size {};
  const bool is_known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return (is_known ? size.ws_col : kUsual) - 1;
}

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
}

// Returns the position of the first byte of that character.
size_t offset_of(std::string_view text, size_t character) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (begins_character(text[at]) && character-- == 0) {
      return at;
    }
  }
  return text.size();
}

size_t length_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

void draw(std::string_view text) {
  // A terminal that has disappeared does not end the copy.
  static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()) < 0);
}

}  // namespace

std::string fitted(const std::string& name, const std::string& rest, size_t width) {
  constexpr std::string_view kCut = "...";
  const size_t letters = length_of(name);
  const size_t space = width - std::min(width, length_of(rest));
  if (letters <= space) {
    return name + rest;
  }
  const size_t kept = space - std::min(space, kCut.size());
  const std::string line = std::string(kCut) + name.substr(offset_of(name, letters - kept)) + rest;
  return line.substr(0, offset_of(line, width));
}

Progress::Progress(ProgressMode mode)
    : on_terminal_(is_wanted(mode) && can_erase_lines()),
      enabled_(on_terminal_ || mode == ProgressMode::always),
      quiet_time_(mode == ProgressMode::always ? std::chrono::milliseconds(0) : kQuietTime) {}

void Progress::begin(std::string_view name, int64_t total) {
  if (!enabled_) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  erase();
  name_ = base::quoted(name.substr(name.find_last_of('/') + 1));
  total_ = total;
  done_ = 0;
  begun_ = std::chrono::steady_clock::now();
  next_draw_ = begun_ + quiet_time_;
}

void Progress::add(int64_t bytes) {
  if (!enabled_) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  done_ += bytes;
  const std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
  const bool is_last = quiet_time_ == std::chrono::milliseconds::zero() && done_ >= total_;
  if (now < next_draw_ && !is_last) {
    return;
  }
  next_draw_ = now + kRedrawAfter;
  show(figures());
}

void Progress::flush() {
  if (!enabled_) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  if (total_ > 0 && std::chrono::steady_clock::now() >= begun_ + quiet_time_) {
    show("flushing " + human_bytes(total_) + " to the disk");
  }
}

void Progress::show(const std::string& rest) {
  if (on_terminal_) {
    draw(std::string(kEraseLine) + fitted(name_, ": " + rest, terminal_width()));
  } else {
    draw(name_ + ": " + rest + "\n");
  }
  drawn_ = on_terminal_;
}

std::string Progress::figures() const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
  const int64_t percent = total_ > 0 ? std::min<int64_t>(100, done_ * 100 / total_) : 100;
  const double rate = static_cast<double>(done_) / std::max(seconds, 1e-3);
  std::string text = std::to_string(percent) + "%, " + human_bytes(done_) + " of " +
                     human_bytes(total_) + ", " + human_bytes(static_cast<int64_t>(rate)) + "/s";
  if (done_ > 0 && done_ < total_) {
    text += ", " +
            std::to_string(static_cast<int64_t>(static_cast<double>(total_ - done_) / rate)) +
            " s left";
  }
  return text;
}

void Progress::erase() {
  if (drawn_) {
    draw(kEraseLine);
    drawn_ = false;
  }
}

}  // namespace cloning
