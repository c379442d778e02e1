// SPDX-License-Identifier: Apache-2.0
// Formats the server's counters and latencies for Prometheus.
#include "pager/serve/metrics.h"

#include <array>
#include <charconv>

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

struct Labeled {
  const char* label;
  Count count;
};

void add_counts(Page& page, const Totals& totals) {
  constexpr std::array kFaults{
      Labeled{"demand", Count::faults}, Labeled{"zero", Count::zero_faults},
      Labeled{"hit_before", Count::hit_before}, Labeled{"unlisted", Count::faults_unlisted}};
  page.family("uffd_serve_faults_total", "counter",
              "Page faults: all (demand); of these, answered with zeros, page already present, "
              "page not in the hot list.");
  for (const Labeled& entry : kFaults) {
    page.sample("uffd_serve_faults_total", std::string("kind=\"") + entry.label + "\"",
                totals[entry.count]);
  }
  constexpr std::array kPages{Labeled{"copied", Count::pages_copied},
                              Labeled{"zeroed", Count::pages_zeroed},
                              Labeled{"prefetched", Count::pages_prefetched},
                              Labeled{"removed", Count::pages_removed},
                              Labeled{"poisoned", Count::pages_poisoned},
                              Labeled{"healed", Count::pages_healed},
                              Labeled{"gone", Count::pages_gone}};
  page.family("uffd_serve_pages_total", "counter",
              "Pages: copied or zeroed; of these, prefetched; removed by guests; poisoned; of "
              "these, healed; gone: replaced by the VMM.");
  for (const Labeled& entry : kPages) {
    page.sample("uffd_serve_pages_total", std::string("kind=\"") + entry.label + "\"",
                totals[entry.count]);
  }
  const auto counter = [&](const char* name, const char* help, Count count) {
    page.one(name, "counter", help, totals[count]);
  };
  counter("uffd_serve_eagain_total", "Calls that met a removal in progress.", Count::eagain);
  counter("uffd_serve_retries_total", "Faults that were kept and tried again.", Count::retries);
  counter("uffd_serve_out_of_memory_total", "Calls that found no memory for a VMM.",
          Count::out_of_memory);
  counter("uffd_serve_read_errors_total", "Reads of memory files that failed.", Count::read_errors);
  counter("uffd_serve_read_bytes_total", "Bytes read from memory files.", Count::bytes_read);
  counter("uffd_serve_released_bytes_total",
          "Bytes of large holes that were unregistered at the start.", Count::bytes_released);
  counter("uffd_serve_hot_lists_refused_total", "Hot lists that did not fit a VMM's regions.",
          Count::hot_list_refused);
  page.one("uffd_serve_resident_bytes", "gauge",
           "Guest memory that is installed and was not removed, in VMMs that are served.",
           totals[Count::bytes_resident]);
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

// The names of hypeman's pager. Metrics of its page cache are 0.
void add_hypeman(Page& page, const ServerInfo& info, const std::string& label) {
  const Totals& totals = info.totals;
  const auto add = [&](const std::string& name, const char* type, uint64_t value) {
    page.one("hypeman_uffd_" + name, type, "As in hypeman's pager.", value, label);
  };
  const auto counter = [&](const char* name, Count count) {
    add(std::string(name) + "_total", "counter", totals[count]);
  };
  counter("faults", Count::faults);
  counter("backing_bytes_read", Count::bytes_read);
  counter("copies", Count::copies);
  counter("copy_errors", Count::copy_errors);
  counter("fault_nanos", Count::fault_ns);
  counter("read_page_nanos", Count::read_ns);
  counter("backing_read_nanos", Count::read_ns);
  counter("copy_nanos", Count::copy_ns);
  for (const char* none : {"cache_hits", "cache_misses", "cache_lookup_nanos", "cache_add_nanos"}) {
    add(std::string(none) + "_total", "counter", 0);
  }
  for (const char* none : {"cache_bytes", "cache_max_bytes", "cache_items", "cache_shards",
                           "cache_lookup_max_nanos", "cache_add_max_nanos"}) {
    add(none, "gauge", 0);
  }
  add("active_sessions", "gauge", info.waiting + info.serving + info.closing);
  add("active_faults", "gauge", totals[Count::waiting]);
  add("max_concurrent_faults", "gauge", totals[Count::batch_max]);
  add("fault_max_nanos", "gauge", totals[Count::fault_max_ns]);
  add("read_page_max_nanos", "gauge", totals[Count::read_max_ns]);
  add("backing_read_max_nanos", "gauge", totals[Count::read_max_ns]);
  add("copy_max_nanos", "gauge", totals[Count::copy_max_ns]);
  add("draining", "gauge", info.draining ? 1 : 0);
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
  add_counts(page, info.totals);
  add_latency(page, info);
  add_hypeman(page, info, "version_key=\"" + escaped(version) + "\"");
  return page.take();
}

}  // namespace pager
