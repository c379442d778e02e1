// SPDX-License-Identifier: Apache-2.0
// Writes sessions and totals as JSON.
#include "pager/serve/session_report.h"

#include <algorithm>

#include "base/json_line.h"

namespace pager {
namespace {

using base::JsonLine;
using base::JsonList;

int64_t number(uint64_t value) {
  return static_cast<int64_t>(value);
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
std::string histogram_json(const Log2Histogram& log2_histogram) {
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
  // A list that is refused or empty has nothing to compare.
  const bool compared = info.hot_list_entries > 0 && info.totals[Count::hot_list_refused] == 0;
  const uint64_t unlisted = compared ? info.totals[Count::faults_unlisted] : 0;
  const uint64_t faults = compared ? info.totals[Count::faults] : 0;
  constexpr uint64_t kPercent = 100;
  const uint64_t known = info.hot_list_entries + unlisted;
  return JsonLine()
      .path("path", info.hot_list_path)
      .number("pages", number(info.hot_list_entries))
      .boolean("refused", info.totals[Count::hot_list_refused] != 0)
      .number("faults_listed", number(faults - std::min(faults, unlisted)))
      .number("faults_unlisted", number(unlisted))
      .number("drift_percent", known == 0 ? 0 : number(unlisted * kPercent / known))
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
  const auto count = [&](Count which) { return number(totals[which]); };
  JsonLine json = brief(info);
  json.raw("regions", regions_json(info.regions))
      .raw("refused", refused_json(info.refused))
      .raw("faults", JsonLine()
                         .number("demand", count(Count::faults))
                         .number("zero", count(Count::zero_faults))
                         .number("hit_before", count(Count::hit_before))
                         .number("waiting", count(Count::waiting))
                         .str())
      .raw("pages", JsonLine()
                        .number("copied", count(Count::pages_copied))
                        .number("zeroed", count(Count::pages_zeroed))
                        .number("prefetched", count(Count::pages_prefetched))
                        .number("removed", count(Count::pages_removed))
                        .number("poisoned", count(Count::pages_poisoned))
                        .number("healed", count(Count::pages_healed))
                        .number("gone", count(Count::pages_gone))
                        .str())
      .number("eagain", count(Count::eagain))
      .number("retries", count(Count::retries))
      .number("out_of_memory", count(Count::out_of_memory))
      .number("read_errors", count(Count::read_errors))
      .number("bytes_released", count(Count::bytes_released))
      .number("bytes_read", count(Count::bytes_read))
      .number("bytes_resident", count(Count::bytes_resident))
      .raw("completion", completion_json(info.completion.get()))
      .raw("hot_list", hot_list_json(info))
      .boolean("hot_list_refused", totals[Count::hot_list_refused] != 0)
      .raw("latency_ns", JsonLine()
                             .number("p50", number(info.p50_ns))
                             .number("p99", number(info.p99_ns))
                             .number("max", count(Count::fault_max_ns))
                             .raw("histogram", histogram_json(info.latency))
                             .str());
  return json.str();
}

std::string sessions_json(std::span<const SessionInfo> infos) {
  JsonList list;
  for (const SessionInfo& info : infos) {
    list.add(brief(info).str());
  }
  return JsonLine().raw("sessions", list.str()).str();
}

std::string health_json(const Pager& pager, std::string_view version) {
  return JsonLine()
      .text("version", version)
      .boolean("draining", pager.draining())
      .number("active_sessions", number(pager.active()))
      .str();
}

std::string stats_json(const Pager& pager, std::string_view version) {
  const Totals totals = pager.totals();
  JsonLine json;
  json.text("version", version)
      .boolean("draining", pager.draining())
      .number("active_sessions", number(pager.active()));
  for (const char* cache :
       {"cache_bytes", "cache_max", "cache_items", "cache_hits", "cache_misses", "cache_shards",
        "cache_lookup_nanos", "cache_lookup_max_nanos", "cache_add_nanos", "cache_add_max_nanos"}) {
    json.number(cache, 0);
  }
  const auto add = [&](const char* name, Count count) { json.number(name, number(totals[count])); };
  add("faults", Count::faults);
  add("backing_bytes_read", Count::bytes_read);
  add("copies", Count::copies);
  add("copy_errors", Count::copy_errors);
  add("active_faults", Count::waiting);
  add("max_concurrent_faults", Count::batch_max);
  add("fault_nanos", Count::fault_ns);
  add("fault_max_nanos", Count::fault_max_ns);
  // hypeman's pager reads a page through a cache and counts both. Here a page is read from the
  // file.
  add("read_page_nanos", Count::read_ns);
  add("read_page_max_nanos", Count::read_max_ns);
  add("backing_read_nanos", Count::read_ns);
  add("backing_read_max_nanos", Count::read_max_ns);
  add("copy_nanos", Count::copy_ns);
  add("copy_max_nanos", Count::copy_max_ns);
  return json.str();
}

}  // namespace pager
