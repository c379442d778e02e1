#include "clone/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/message.h"
#include "clone/report.h"

namespace cloning {
namespace {

constexpr std::chrono::seconds kPatience{1};
constexpr std::chrono::milliseconds kRedrawAfter{200};
constexpr std::string_view kEraseLine = "\r\033[K";

void draw(std::string_view text) {
  // A terminal that has gone is no reason to give up the copy.
  static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()) < 0);
}

}  // namespace

Progress::Progress()
    : enabled_(base::message_style().verbosity != base::Verbosity::quiet &&
               !base::message_style().json && ::isatty(STDERR_FILENO) == 1) {}

void Progress::begin(std::string_view name, int64_t total) {
  if (!enabled_) {
    return;
  }
  erase();
  name_ = base::quoted(name);
  total_ = total;
  done_ = 0;
  begun_ = std::chrono::steady_clock::now();
  next_draw_ = begun_ + kPatience;
}

void Progress::add(int64_t bytes) {
  if (!enabled_) {
    return;
  }
  done_ += bytes;
  const std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
  if (now < next_draw_) {
    return;
  }
  next_draw_ = now + kRedrawAfter;
  const double seconds = std::chrono::duration<double>(now - begun_).count();
  const int64_t percent = total_ > 0 ? std::min<int64_t>(100, done_ * 100 / total_) : 100;
  std::string line(kEraseLine);
  line += name_ + ": " + std::to_string(percent) + "%, " + human_bytes(done_) + " of " +
          human_bytes(total_) + ", " +
          human_bytes(static_cast<int64_t>(static_cast<double>(done_) / seconds)) + "/s";
  draw(line);
  drawn_ = true;
}

void Progress::erase() {
  if (drawn_) {
    draw(kEraseLine);
    drawn_ = false;
  }
}

}  // namespace cloning
