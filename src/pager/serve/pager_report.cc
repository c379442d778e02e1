// SPDX-License-Identifier: Apache-2.0
// Pager: snapshots of its sessions and totals.
#include <algorithm>
#include <utility>

#include "pager/serve/pager.h"

namespace pager {
namespace {

void set_memory(SessionInfo& info, const Image& image) {
  info.memory_path = image.path();
  info.memory_device = image.identity().device;
  info.memory_inode = image.identity().inode;
}

}  // namespace

SessionInfo Pager::info_of(const Waiting& waiting) {
  const Endpoint& endpoint = waiting.endpoint;
  SessionInfo info;
  info.id = endpoint.id;
  info.instance_id = endpoint.instance_id;
  info.cache_key = endpoint.cache_key;
  info.socket_path = endpoint.socket_path;
  set_memory(info, *endpoint.image);
  info.window = endpoint.serving.window_of(!endpoint.serving.trace_path.empty());
  info.refused = waiting.refusals->last();
  if (endpoint.hot) {
    info.hot_list_path = endpoint.hot->path;
    info.hot_list_entries = endpoint.hot->pages;
  }
  return info;
}

SessionInfo Pager::info_of(const Connected& connected) {
  const Session& session = *connected.session;
  SessionInfo info;
  info.id = connected.id;
  info.instance_id = connected.instance_id;
  info.cache_key = connected.cache_key;
  info.socket_path = connected.socket_path;
  set_memory(info, session.image());
  info.window = session.window();
  info.refused = connected.refusals->last();
  info.state = connected.closing ? "closing" : "serving";
  info.vmm_pid = session.vmm_pid();
  info.vmm_start_time = session.vmm_start_time();
  info.regions = session.regions();
  info.totals = session.counters().totals();
  info.p50_ns = session.counters().latency.percentile(50);
  info.p99_ns = session.counters().latency.percentile(99);
  info.latency = session.counters().latency.log2_histogram();
  info.completion = session.completion();
  info.trace_path = session.trace_path();
  if (const std::shared_ptr<const HotFile> hot = session.hot_list()) {
    info.hot_list_path = hot->path;
    info.hot_list_entries = hot->pages;
  }
  return info;
}

std::vector<SessionInfo> Pager::sessions() const {
  const std::lock_guard lock(mutex_);
  std::vector<SessionInfo> infos;
  for (const auto& [key, waiting] : endpoints_.waiting()) {
    infos.push_back(info_of(waiting));
  }
  for (const auto& [key, connected] : connected_) {
    infos.push_back(info_of(connected));
  }
  std::ranges::sort(infos, {}, &SessionInfo::id);
  return infos;
}

std::optional<SessionInfo> Pager::session(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto entry = ids_.find(id);
  if (entry == ids_.end()) {
    return std::nullopt;
  }
  const auto connected = connected_.find(entry->second);
  return connected != connected_.end() ? info_of(connected->second)
                                       : info_of(endpoints_.waiting().at(entry->second));
}

ServerInfo Pager::info() const {
  const std::lock_guard lock(mutex_);
  ServerInfo info{.draining = service().draining,
                  .waiting = endpoints_.waiting().size(),
                  .recovered = service().recovered,
                  .keeper = keeper(),
                  .totals = service().ended_totals,
                  .latency = service().ended_latency};
  for (const auto& [key, connected] : connected_) {
    ++(connected.closing ? info.closing : info.serving);
    info.most_drift_percent = std::max(info.most_drift_percent, info_of(connected).drift_percent());
    info.totals.add(connected.session->counters().totals());
    base::add_histogram(info.latency, connected.session->counters().latency.log2_histogram());
  }
  return info;
}

Totals Pager::totals() const {
  return info().totals;
}

bool Pager::draining() const {
  const std::lock_guard lock(mutex_);
  return service().draining;
}

uint64_t Pager::recovered() const {
  const std::lock_guard lock(mutex_);
  return service().recovered;
}

size_t Pager::active() const {
  const std::lock_guard lock(mutex_);
  return endpoints_.waiting().size() + connected_.size();
}

}  // namespace pager
