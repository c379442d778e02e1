// SPDX-License-Identifier: Apache-2.0
// Writes sessions and totals as JSON.
#include "pager/serve/session_report.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "base/json_line.h"
#include "pager/serve/hypeman_names.h"

namespace pager {
namespace {

using base::JsonLine;
using base::JsonList;

int64_t number(uint64_t value) {
  return static_cast<int64_t>(value);
}

// The counters that the list of sessions has, too.
constexpr std::string_view kBytes = "bytes";

// Adds the counters that have a key and that `wanted` accepts. Those of one object are added
// together.
template <typename Wanted>
void add_counts(JsonLine& json, const Totals& totals, Wanted wanted) {
  std::map<std::string_view, JsonLine> objects;
  for (const CounterText& row : kCounters) {
    if (!row.key.empty() && wanted(row)) {
      (row.object.empty() ? json : objects[row.object]).number(row.key, number(totals[row.count]));
    }
  }
  for (const auto& [name, object] : objects) {
    json.raw(name, object.str());
  }
}

JsonLine brief(const SessionInfo& info) {
  JsonLine json;
  json.text("session_id", info.id)
      .text("instance_id", info.instance_id)
      .text("cache_key", info.cache_key)
      .text("state", info.state)
      .number("vmm_pid", info.vmm_pid)
      .number("vmm_start_time", number(info.vmm_start_time))
      .path("socket_path", info.socket_path)
      .path("memory_path", info.memory_path)
      .number("memory_device", number(info.memory_device))
      .number("memory_inode", number(info.memory_inode));
  if (!info.window.is_automatic()) {
    json.number("window", number(info.window.setting())).raw("window_factor", "null");
  } else if (info.window.factor() == 0) {
    json.text("window", "auto").text("window_factor", "unbounded");
  } else {
    json.text("window", "auto").number("window_factor", info.window.factor());
  }
  add_counts(json, info.totals, [](const CounterText& row) { return row.object == kBytes; });
  return json;
}

std::string refused_json(const std::optional<Refusals::Last>& refused) {
  if (!refused) {
    return "null";
  }
  return JsonLine()
      .number("count", number(refused->count))
      .number("pid", refused->pid)
      .number("uid", refused->uid)
      .text("reason", refused->reason)
      .text("outcome", refused->outcome)
      .str();
}

std::string regions_json(std::span<const hot::Region> regions) {
  JsonList list;
  for (const hot::Region& region : regions) {
    list.add(JsonLine()
                 .number("base", number(region.base))
                 .number("size", number(region.size))
                 .number("offset", number(region.offset))
                 .number("page_size", number(region.page_size))
                 .str());
  }
  return list.str();
}

// The nonempty powers of two: {"below":NS,"count":N}.
std::string histogram_json(const base::Log2Histogram& log2_histogram) {
  JsonList list;
  for (size_t i = 0; i < log2_histogram.size(); ++i) {
    if (log2_histogram[i] > 0) {
      list.add(JsonLine()
                   .number("below", int64_t{1} << i)
                   .number("count", number(log2_histogram[i]))
                   .str());
    }
  }
  return list.str();
}

// How much the guest's faults differ from its hot list.
std::string hot_list_json(const SessionInfo& info) {
  if (info.hot_list_path.empty()) {
    return "null";
  }
  const bool compared = info.compares_list();
  const uint64_t unlisted = compared ? info.totals[Count::faults_unlisted] : 0;
  const uint64_t faults = compared ? info.totals[Count::faults] : 0;
  return JsonLine()
      .path("path", info.hot_list_path)
      .number("pages", number(info.hot_list_entries))
      .boolean("refused", info.totals[Count::hot_list_refused] != 0)
      .number("faults_listed", number(faults - std::min(faults, unlisted)))
      .number("faults_unlisted", number(unlisted))
      .number("drift_percent", number(info.drift_percent()))
      .str();
}

const char* name_of(Completion::State state) {
  switch (state) {
    case Completion::State::running:
      return "running";
    case Completion::State::paused:
      return "paused";
    case Completion::State::done:
      return "done";
    case Completion::State::failed:
      break;
  }
  return "failed";
}

std::string completion_json(const Completion* completion) {
  if (completion == nullptr) {
    return "null";
  }
  return JsonLine()
      .text("state", name_of(completion->state()))
      .number("bytes_per_second", number(completion->bytes_per_second()))
      .boolean("waited", completion->waited())
      .text("why", completion->why())
      .str();
}

}  // namespace

std::string session_json(const SessionInfo& info) {
  const Totals& totals = info.totals;
  JsonLine json = brief(info);
  info.trace_path.empty() ? json.null("trace_path") : json.path("trace_path", info.trace_path);
  json.raw("regions", regions_json(info.regions)).raw("refused", refused_json(info.refused));
  add_counts(json, totals, [](const CounterText& row) { return row.object != kBytes; });
  json.raw("completion", completion_json(info.completion.get()))
      .raw("hot_list", hot_list_json(info))
      .boolean("hot_list_refused", totals[Count::hot_list_refused] != 0)
      .raw("latency_ns", JsonLine()
                             .number("p50", number(info.p50_ns))
                             .number("p99", number(info.p99_ns))
                             .number("max", number(totals[Count::fault_max_ns]))
                             .raw("histogram", histogram_json(info.latency))
                             .str());
  return json.str();
}

std::string summary_json(const Totals& totals) {
  JsonLine json("summary");
  for (const CounterText& row : kCounters) {
    if (!row.summary.empty()) {
      json.number(row.summary, number(totals[row.count]));
    }
  }
  return json.str();
}

std::string sessions_json(std::span<const SessionInfo> infos) {
  JsonList list;
  for (const SessionInfo& info : infos) {
    list.add(brief(info).raw("hot_list", hot_list_json(info)).str());
  }
  return JsonLine().raw("sessions", list.str()).str();
}

std::string health_json(const Pager& pager, std::string_view version) {
  JsonLine json;
  json.text("version", version)
      .boolean("draining", pager.draining())
      .number("active_sessions", number(pager.active()));
  if (const KeeperPage* page = pager.keeper()) {
    json.raw("keeper",
             JsonLine()
                 .number("pid", number(page->keeper_pid))
                 .number("server_pid", number(page->server_pid))
                 .number("keepers", number(page->keepers))
                 .number("generation", number(page->generation))
                 .number("restarts", number(page->restarts))
                 .text("reason", name_of(page->reason.load()))
                 .number("signal", number(page->signal))
                 .number("stall_ns", number(last_stall_ns(*page)))
                 .number("replayed_removals", number(page->replayed))
                 .number("quarantined", number(page->quarantined))
                 .number("recovered", number(pager.recovered()))
                 .number("upgrades", number(page->upgrades))
                 .text("upgrade", name_of(page->upgrade.load()))
                 .text("upgrade_problem", text_of(page->upgrade_problem, page->upgrade_detail))
                 .str());
  }
  return json.str();
}

std::string stats_json(const Pager& pager, std::string_view version) {
  const Totals totals = pager.totals();
  JsonLine json;
  json.text("version", version)
      .boolean("draining", pager.draining())
      .number("active_sessions", number(pager.active()));
  for (const HypemanName& row : kHypemanNames) {
    json.number(row.name, row.count ? number(totals[*row.count]) : 0);
  }
  return json.str();
}

}  // namespace pager
