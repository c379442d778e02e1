// SPDX-License-Identifier: Apache-2.0
// Formats the server's counters and latencies for Prometheus.
#include "pager/serve/metrics.h"

#include <array>
#include <charconv>
#include <utility>

#include "pager/serve/hypeman_names.h"

namespace pager {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') {
      out += '\\';
    }
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

// The shortest text that parses to the same number.
std::string seconds(double ns) {
  constexpr double kPerSecond = 1e9;
  std::array<char, 32> text{};
  char* end = std::to_chars(text.data(), text.data() + text.size(), ns / kPerSecond).ptr;
  return {text.data(), end};
}

class Page {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  }
  void sample(std::string_view name, std::string_view labels, std::string_view value) {
    text_.append(name);
    if (!labels.empty()) {
      text_.append("{").append(labels).append("}");
    }
    text_.append(" ").append(value).append("\n");
  }
  void sample(std::string_view name, std::string_view labels, uint64_t value) {
    sample(name, labels, std::to_string(value));
  }
  void one(std::string_view name, std::string_view type, std::string_view help, uint64_t value,
           std::string_view labels = "") {
    family(name, type, help);
    sample(name, labels, value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void add_counts(Page& page, const Totals& totals) {
  std::string_view family;
  for (const CounterText& row : kCounters) {
    if (row.metric.empty()) {
      continue;
    }
    const std::string name = "uffd_serve_" + std::string(row.metric);
    if (row.metric != family) {
      family = row.metric;
      page.family(name, row.kind == CounterText::Kind::sum ? "counter" : "gauge", row.help);
    }
    page.sample(name, row.label.empty() ? "" : "kind=\"" + std::string(row.label) + "\"",
                totals[row.count]);
  }
}

void add_latency(Page& page, const ServerInfo& info) {
  constexpr const char* kName = "uffd_serve_fault_seconds";
  constexpr size_t kFirst = 10;  // 1 us
  constexpr size_t kLast = 34;   // 17 s
  page.family(kName, "histogram", "Time from the read of a fault to its answer.");
  uint64_t below = 0;
  for (size_t i = 0; i < info.latency.size(); ++i) {
    below += info.latency[i];
    if (i >= kFirst && i <= kLast) {
      page.sample(std::string(kName) + "_bucket",
                  "le=\"" + seconds(static_cast<double>(uint64_t{1} << i)) + "\"", below);
    }
  }
  page.sample(std::string(kName) + "_bucket", "le=\"+Inf\"", below);
  page.sample(std::string(kName) + "_sum", "",
              seconds(static_cast<double>(info.totals[Count::fault_ns])));
  page.sample(std::string(kName) + "_count", "", below);
}

void add_hypeman(Page& page, const ServerInfo& info, const std::string& label) {
  const auto add = [&](std::string_view name, bool is_counter, uint64_t value) {
    page.one("hypeman_uffd_" + std::string(name) + (is_counter ? "_total" : ""),
             is_counter ? "counter" : "gauge", "As in hypeman's pager.", value, label);
  };
  for (const HypemanName& row : kHypemanNames) {
    add(row.metric.empty() ? row.name : row.metric, row.is_counter,
        row.count ? info.totals[*row.count] : 0);
  }
  add("active_sessions", false, info.waiting + info.serving + info.closing);
  add("draining", false, info.draining ? 1 : 0);
}

}  // namespace

std::string metrics_text(const ServerInfo& info, std::string_view version) {
  Page page;
  page.one("uffd_serve_info", "gauge", "Always 1; the label is the server's version.", 1,
           "version=\"" + escaped(version) + "\"");
  page.family("uffd_serve_sessions", "gauge", "Number of sessions, by state.");
  page.sample("uffd_serve_sessions", R"(state="waiting")", info.waiting);
  page.sample("uffd_serve_sessions", R"(state="serving")", info.serving);
  page.sample("uffd_serve_sessions", R"(state="closing")", info.closing);
  page.one("uffd_serve_draining", "gauge", "1 if no new session is accepted.",
           info.draining ? 1 : 0);
  page.one("uffd_serve_recoveries_total", "counter",
           "Sessions that were continued after the death of server and keeper.", info.recovered);
  if (info.keeper != nullptr) {
    page.one("uffd_serve_keeper_restarts_total", "counter",
             "Keepers that a server has started because the one before had ended.",
             info.keeper->keepers);
    page.one("uffd_serve_restarts_total", "counter", "Servers that the keeper has replaced.",
             info.keeper->restarts);
    page.one("uffd_serve_replayed_removals_total", "counter",
             "Removals that successors found read and maybe not applied.", info.keeper->replayed);
    page.one("uffd_serve_quarantined_sessions_total", "counter",
             "Sessions that ended server after server and are not served again.",
             info.keeper->quarantined);
    page.one("uffd_serve_upgrades_total", "counter", "Upgrades that were begun.",
             info.keeper->upgrades);
    page.family("uffd_serve_last_stall_seconds", "gauge",
                "Time without a server around the last restart.");
    page.sample("uffd_serve_last_stall_seconds", "",
                seconds(static_cast<double>(last_stall_ns(*info.keeper))));
  }
  page.one("uffd_serve_hot_list_drift_percent_max", "gauge",
           "The largest drift of a connected session from its hot list.", info.most_drift_percent);
  add_counts(page, info.totals);
  add_latency(page, info);
  add_hypeman(page, info, "version_key=\"" + escaped(version) + "\"");
  return page.take();
}

}  // namespace pager
