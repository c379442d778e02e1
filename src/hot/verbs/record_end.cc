// SPDX-License-Identifier: Apache-2.0
// Ends a recording at a time, a mark or a number of pages, or when few new pages come.
#include "hot/verbs/record_end.h"

#include <algorithm>

#include "base/error.h"

namespace hot {
namespace {

constexpr std::chrono::seconds kWindow{2};
// Settled: less than 1 % of all pages are new in one window.
constexpr uint64_t kNewPart = 100;

}  // namespace

void add_end_options(base::Options& options) {
  options.value("seconds", "S", "end after S seconds")
      .value("mark", "NAME", "end at this mark (uffd-ctl mark)")
      .value("pages", "N", "end after N different pages")
      .flag("settled", "end if less than 1 % of the pages are new in 2 seconds");
}

RecordEnd::RecordEnd(const base::ParsedOptions& parsed, Clock::time_point start)
    : mark_(parsed.value("mark")), settles_(parsed.has("settled")), window_start_(start) {
  if (parsed.has("seconds")) {
    end_ = start + std::chrono::milliseconds(parsed.seconds_as_ms("seconds", 0));
  }
  if (parsed.has("pages")) {
    pages_ = static_cast<uint64_t>(parsed.number("pages", 1, INT64_MAX, 1));
  }
  if (mark_ && !is_mark_name(*mark_)) {
    throw base::UsageError("bad value " + base::quoted(*mark_) +
                           " for --mark: 1 to 64 letters, digits, '.', '_' and '-' are needed");
  }
}

bool RecordEnd::count_new_pages(const Trace& trace) {
  for (; counted_ < trace.pages.size(); ++counted_) {
    seen_.insert(trace.pages[counted_]);
    if (pages_ && seen_.size() >= *pages_) {
      cut_at_ = ++counted_;
      return true;
    }
  }
  return false;
}

bool RecordEnd::has_settled(Clock::time_point now, bool has_list) {
  if (now < window_start_ + kWindow) {
    return false;
  }
  const uint64_t pages = seen_.size();
  const uint64_t added = pages - window_pages_;
  window_start_ = now;
  window_pages_ = pages;
  // A guest whose list has all the pages that it needs does not fault.
  const bool has_begun = pages > 0 || has_list;
  return has_begun && added * kNewPart < std::max<uint64_t>(pages, 1);
}

bool RecordEnd::reached(const Trace& trace, Clock::time_point now) {
  if (mark_) {
    const auto found = std::ranges::find(trace.marks, *mark_, &TraceMark::name);
    if (found != trace.marks.end()) {
      cut_at_ = found->at;
      return true;
    }
  }
  const bool counts = pages_.has_value() || settles_;
  return (counts && count_new_pages(trace)) || (end_ && now >= *end_) ||
         (settles_ && has_settled(now, !trace.listed.empty()));
}

std::optional<RecordEnd::Clock::time_point> RecordEnd::next_check() const {
  std::optional<Clock::time_point> next = end_;
  if (settles_) {
    next = std::min(next.value_or(Clock::time_point::max()), window_start_ + kWindow);
  }
  return next;
}

void RecordEnd::cut(Trace& trace) const {
  trace.pages.resize(std::min(trace.pages.size(), cut_at_));
  std::erase_if(trace.marks, [&](const TraceMark& mark) {
    return mark.at > trace.pages.size() || (mark.at == cut_at_);
  });
}

}  // namespace hot
