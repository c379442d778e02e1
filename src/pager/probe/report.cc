// SPDX-License-Identifier: Apache-2.0
// Formats the results of a probe.
#include "pager/probe/report.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/json_line.h"

namespace pager {
namespace {

std::string number(uint64_t value) {
  return std::to_string(value);
}

// "48.1 us", "1.2 ms", "3.4 s"
std::string duration(uint64_t ns) {
  constexpr double kMicro = 1e3;
  constexpr double kMilli = 1e6;
  constexpr double kSecond = 1e9;
  const auto value = static_cast<double>(ns);
  std::array<char, 32> text{};
  if (value < kMilli) {
    static_cast<void>(std::snprintf(text.data(), text.size(), "%.1f us", value / kMicro));
  } else if (value < kSecond) {
    static_cast<void>(std::snprintf(text.data(), text.size(), "%.1f ms", value / kMilli));
  } else {
    static_cast<void>(std::snprintf(text.data(), text.size(), "%.2f s", value / kSecond));
  }
  return text.data();
}

std::string latencies(const Histogram& histogram) {
  return histogram.count() == 0
             ? std::string()
             : ": p50 " + duration(histogram.percentile(50)) + ", p99 " +
                   duration(histogram.percentile(99)) + ", max " + duration(histogram.max());
}

std::string hex_byte(unsigned value) {
  std::array<char, 3> text{};
  static_cast<void>(std::snprintf(text.data(), text.size(), "%02x", value & 0xffU));
  return text.data();
}

bool must_be_refused(const ProbeConfig& config) {
  return config.misbehavior && config.misbehavior != Misbehavior::split;
}

// The pages that the jobs touched when the VMM stopped, such as "page 4711, page 12".
std::string pages_waited_for(const VmmRecord& record) {
  std::string list;
  for (const PageSlot& slot : record.waiting) {
    if (const std::optional<PageNumber> page = slot.get()) {
      list += (list.empty() ? "page " : ", page ") + number(*page);
    }
  }
  if (const std::optional<PageNumber> page = record.removing.get()) {
    list += (list.empty() ? "" : ", ") + std::string("the removal of page ") + number(*page);
  }
  return list.empty() ? "the handshake" : list;
}

std::string first_mismatch(const VmmRecord& record) {
  if (!record.has_mismatch) {
    return {};
  }
  const Mismatch& first = record.first_mismatch;
  return " (page " + number(first.page) + ", byte " + number(first.byte) + ": " +
         hex_byte(first.found) + " where " + hex_byte(first.expected) + " was expected)";
}

std::string counted(uint64_t count, const char* what) {
  return number(count) + " " + what + (count == 1 ? "" : "s");
}

std::string troubles(const VmmOutcome& outcome, const ProbeConfig& config) {
  const VmmRecord& record = *outcome.record;
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (is_hung(outcome)) {
    add("hung after " + counted(record.touched, "page") + ": no answer for " +
        pages_waited_for(record) +
        (record.gave_up
             ? "; the server had closed the connection"
             : " within " + duration(static_cast<uint64_t>(config.deadline.count()) * 1'000'000)));
  }
  if (outcome.signal != 0) {
    add("died of signal " + number(static_cast<uint64_t>(outcome.signal)) + " (" +
        ::strsignal(outcome.signal) + ") at " + pages_waited_for(record));
  }
  if (record.wrong_pages > 0) {
    add(counted(record.wrong_pages, "wrong page"));
  }
  if (record.stale_pages > 0) {
    add(counted(record.stale_pages, "stale page") + ", removed but not zero");
  }
  return (text.empty() ? "the VMM ended early" : text) + first_mismatch(record);
}

void add_latency(base::JsonLine& line, const Histogram& histogram) {
  line.number("p50_ns", static_cast<int64_t>(histogram.percentile(50)))
      .number("p99_ns", static_cast<int64_t>(histogram.percentile(99)))
      .number("max_ns", static_cast<int64_t>(histogram.max()));
}

int64_t percent_of(uint64_t value, uint64_t whole) {
  constexpr uint64_t kPercent = 100;
  return whole == 0 ? 0 : static_cast<int64_t>((value * kPercent + whole / 2) / whole);
}

Shared<Histogram> merged_latency(std::span<const VmmOutcome> outcomes) {
  Shared<Histogram> all;
  for (const VmmOutcome& outcome : outcomes) {
    all->merge(outcome.record->latency);
  }
  return all;
}

}  // namespace

// A server that refuses a VMM kills it, or closes the connection if it cannot.
bool was_refused(const VmmOutcome& outcome) {
  return outcome.record->refused || (outcome.signal == SIGKILL && !outcome.timed_out);
}

bool is_hung(const VmmOutcome& outcome) {
  return outcome.timed_out || outcome.record->gave_up;
}

bool is_good(const VmmOutcome& outcome, const ProbeConfig& config) {
  const VmmRecord& record = *outcome.record;
  if (must_be_refused(config)) {
    return was_refused(outcome);
  }
  return (record.finished || record.killed_itself) && !is_hung(outcome) && outcome.signal == 0 &&
         record.wrong_pages == 0 && record.stale_pages == 0;
}

std::string describe(const VmmOutcome& outcome, const ProbeConfig& config) {
  const VmmRecord& record = *outcome.record;
  const std::string name = outcome.socket + ": ";
  if (must_be_refused(config)) {
    return name + (was_refused(outcome)
                       ? "the server refused the handshake, as it must"
                       : "the server did not refuse an invalid handshake within " +
                             duration(static_cast<uint64_t>(config.deadline.count()) * 1'000'000));
  }
  if (!is_good(outcome, config)) {
    return name + troubles(outcome, config);
  }
  if (record.killed_itself) {
    return name + "killed itself after " + counted(record.touched, "page");
  }
  return name + counted(record.touched, "page") + " in " + duration(record.total_ns) +
         ", every byte correct; " + counted(record.faults, "fault") + latencies(record.latency) +
         (record.written_pages > 0 ? "; " + number(record.written_pages) + " written" : "") +
         (record.removed_pages > 0 ? "; " + number(record.removed_pages) + " removed, all zero"
                                   : "");
}

std::string vmm_record(const VmmOutcome& outcome, const ProbeConfig& config) {
  const VmmRecord& record = *outcome.record;
  const auto count = [](const std::atomic<uint64_t>& value) {
    return static_cast<int64_t>(value.load());
  };
  base::JsonLine line("probe");
  line.path("socket", outcome.socket)
      .number("pid", outcome.pid)
      .boolean("ok", is_good(outcome, config))
      .number("touched", count(record.touched))
      .number("faults", count(record.faults))
      .number("wrong_pages", count(record.wrong_pages))
      .number("stale_pages", count(record.stale_pages))
      .boolean("hung", is_hung(outcome) && !must_be_refused(config))
      .number("removed_pages", count(record.removed_pages))
      .number("written_pages", count(record.written_pages))
      .boolean("server_closed", record.server_closed)
      .boolean("killed_itself", record.killed_itself)
      .number("signal", outcome.signal)
      .number("total_ns", count(record.total_ns));
  add_latency(line, record.latency);
  if (must_be_refused(config)) {
    line.boolean("refused", was_refused(outcome));
  }
  if (record.has_mismatch) {
    const Mismatch& first = record.first_mismatch;
    line.raw("first_mismatch", base::JsonLine()
                                   .number("page", first.page)
                                   .number("byte", static_cast<int64_t>(first.byte))
                                   .number("expected", first.expected)
                                   .number("found", first.found)
                                   .str());
  }
  return line.str();
}

std::string summary_record(std::span<const VmmOutcome> outcomes, const ProbeConfig& config,
                           const Baseline* baseline) {
  uint64_t good = 0;
  uint64_t hung = 0;
  uint64_t touched = 0;
  uint64_t faults = 0;
  uint64_t wrong = 0;
  uint64_t stale = 0;
  for (const VmmOutcome& outcome : outcomes) {
    good += is_good(outcome, config) ? 1 : 0;
    hung += is_hung(outcome) && !must_be_refused(config) ? 1 : 0;
    touched += outcome.record->touched;
    faults += outcome.record->faults;
    wrong += outcome.record->wrong_pages;
    stale += outcome.record->stale_pages;
  }
  const Shared<Histogram> latency = merged_latency(outcomes);
  base::JsonLine line("summary");
  line.number("vmms", static_cast<int64_t>(outcomes.size()))
      .number("good_vmms", static_cast<int64_t>(good))
      .number("hung_vmms", static_cast<int64_t>(hung))
      .number("touched", static_cast<int64_t>(touched))
      .number("faults", static_cast<int64_t>(faults))
      .number("wrong_pages", static_cast<int64_t>(wrong))
      .number("stale_pages", static_cast<int64_t>(stale));
  add_latency(line, *latency);
  if (baseline != nullptr) {
    const uint64_t loop = baseline->copy_loop.percentile(50);
    line.number("anonymous_p50_ns", static_cast<int64_t>(baseline->anonymous.percentile(50)))
        .number("copy_loop_p50_ns", static_cast<int64_t>(loop))
        .number("copy_loop_p99_ns", static_cast<int64_t>(baseline->copy_loop.percentile(99)))
        .number("p50_percent_of_copy_loop", percent_of(latency->percentile(50), loop))
        .number("copy_bytes_per_second",
                static_cast<int64_t>(baseline->copy_bytes_per_second.load()));
  }
  return line.str();
}

std::string describe_baseline(std::span<const VmmOutcome> outcomes, const Baseline& baseline) {
  constexpr uint64_t kMiB = uint64_t{1} << 20U;
  const Shared<Histogram> latency = merged_latency(outcomes);
  const uint64_t loop = baseline.copy_loop.percentile(50);
  return "this machine: anonymous fault p50 " + duration(baseline.anonymous.percentile(50)) +
         ", read-and-copy loop p50 " + duration(loop) + " (the server's is " +
         std::to_string(percent_of(latency->percentile(50), loop)) + " % of it), UFFDIO_COPY " +
         number(baseline.copy_bytes_per_second / kMiB) + " MiB/s";
}

}  // namespace pager
