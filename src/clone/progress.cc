#include "clone/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/message.h"
#include "clone/report.h"

namespace cloning {
namespace {

constexpr std::chrono::milliseconds kPatience{1000};
constexpr std::chrono::milliseconds kRedrawAfter{200};
constexpr std::string_view kEraseLine = "\r\033[K";

bool is_wanted(ProgressMode mode) {
  const base::MessageStyle& style = base::message_style();
  return mode == ProgressMode::always || (mode == ProgressMode::automatic &&
                                          style.verbosity != base::Verbosity::quiet && !style.json);
}

void draw(std::string_view text) {
  // A terminal that has gone is no reason to give up the copy.
  static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()) < 0);
}

}  // namespace

Progress::Progress(ProgressMode mode)
    : on_terminal_(is_wanted(mode) && ::isatty(STDERR_FILENO) == 1),
      enabled_(on_terminal_ || mode == ProgressMode::always),
      patience_(mode == ProgressMode::always ? std::chrono::milliseconds(0) : kPatience) {}

void Progress::begin(std::string_view name, int64_t total) {
  if (!enabled_) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  erase();
  name_ = base::quoted(name);
  total_ = total;
  done_ = 0;
  begun_ = std::chrono::steady_clock::now();
  next_draw_ = begun_ + patience_;
}

void Progress::add(int64_t bytes) {
  if (!enabled_) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  done_ += bytes;
  const std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
  const bool is_last = patience_ == std::chrono::milliseconds::zero() && done_ >= total_;
  if (now < next_draw_ && !is_last) {
    return;
  }
  next_draw_ = now + kRedrawAfter;
  draw(on_terminal_ ? std::string(kEraseLine) + line() : line() + "\n");
  drawn_ = on_terminal_;
}

std::string Progress::line() const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
  const int64_t percent = total_ > 0 ? std::min<int64_t>(100, done_ * 100 / total_) : 100;
  return name_ + ": " + std::to_string(percent) + "%, " + human_bytes(done_) + " of " +
         human_bytes(total_) + ", " +
         human_bytes(static_cast<int64_t>(static_cast<double>(done_) / std::max(seconds, 1e-3))) +
         "/s";
}

void Progress::erase() {
  if (drawn_) {
    draw(kEraseLine);
    drawn_ = false;
  }
}

}  // namespace cloning
