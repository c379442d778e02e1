// SPDX-License-Identifier: Apache-2.0
// The rounds and passes over poisoned pages.
#include "pager/faults/poison_healer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/error.h"
#include "pager/kernel/clock.h"

namespace pager {
namespace {

constexpr uint64_t kLongestWait = 60 * kSecond;

}  // namespace

void PoisonHealer::add(uint64_t page) {
  if (table_.poisoned_pages() == 0) {
    not_before_ns_ = std::numeric_limits<uint64_t>::max();
  }
  table_.mark_poisoned(page);
  wait_ns_ = kSecond;
  not_before_ns_ = std::min(not_before_ns_, monotonic_ns() + wait_ns_);
}

Stop PoisonHealer::piece() {
  const uint64_t healed_before = table_.healed_pages();
  Stop stop = Stop::done;
  bool pass_ended = false;
  for (int i = 0; i < kRoundPages && stop == Stop::done; ++i) {
    const std::optional<uint64_t> page = table_.next_poisoned(next_);
    if (!page) {
      next_ = 0;
      pass_ended = true;
      break;
    }
    stop = filler_.prefetch(table_.region_of_page(*page), std::span(&*page, 1));
    if (stop == Stop::again) {
      not_before_ns_ = monotonic_ns() + kMillisecond;
      break;
    }
    next_ = *page + 1;
    if (table_.poisoned(*page)) {
      pass_ended = ++failures_ >= kMostFailures;
      break;
    }
    failures_ = 0;
  }
  if (const uint64_t healed = table_.healed_pages() - healed_before; healed > 0) {
    wait_ns_ = kSecond;
    healed_unlogged_ += healed;
  }
  if (pass_ended) {
    end_pass();
  }
  log_healed(pass_ended);
  return stop;
}

void PoisonHealer::end_pass() {
  failures_ = 0;
  wait_ns_ = std::min(std::max(wait_ns_, kSecond) * 2, kLongestWait);
  not_before_ns_ = monotonic_ns() + wait_ns_;
}

void PoisonHealer::log_healed(bool pass_ended) {
  if (healed_unlogged_ > 0 && (pass_ended || !has_work()) && log_limit_.admit()) {
    log_.warn(std::to_string(std::exchange(healed_unlogged_, 0)) + " poisoned pages of " +
              base::quoted(image_.path()) + " are readable again and repaired; " +
              std::to_string(table_.poisoned_pages()) + " are still poisoned");
  }
}

}  // namespace pager
