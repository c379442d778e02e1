// SPDX-License-Identifier: Apache-2.0
// The thread of a session, which runs the fault loop, from its start to its end.
#include "pager/serve/session.h"

#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "pager/faults/fault_loop.h"
#include "pager/faults/hot_file.h"
#include "pager/faults/vmm_watch.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/event_fd.h"
#include "pager/kernel/features.h"
#include "pager/kernel/invariant.h"
#include "pager/kernel/read_ticker.h"
#include "pager/kernel/rseq.h"
#include "pager/kernel/short_slice.h"
#include "pager/serve/crash_mark.h"

namespace pager {
void Session::describe(SessionState& state, const std::string& id, const ServingPlan& plan,
                       const Vmm& vmm) {
  require(id.size() < state.id.size(), "the id of a session is too long");
  *std::ranges::copy(id, state.id.begin()).out = '\0';
  state.vmm_pid = vmm.pid();
  state.vmm_start_time = vmm.start_time();
  state.on_failure = plan.serving.failure_action();
  state.read_attempts = plan.serving.attempts();
  if (plan.trace) {
    state.trace.set(plan.trace->path());
  }
  if (plan.hot) {  // a successor starts it if this server ends before its session does
    state.hot.paths.front().set(plan.hot->path);
    state.hot.count = 1;
  }
}

Session::Session(std::string id, ServingPlan plan, Handles handles, int notify)
    : id_(std::move(id)),
      plan_(std::move(plan)),
      regions_(handles.state->regions()),
      uffd_(std::move(handles.uffd)),
      socket_(std::move(handles.socket)),
      vmm_(std::move(handles.vmm)),
      wake_(make_event_fd()),
      notify_(notify),
      log_(id_, vmm_.pid(), uffd_.get()),
      mapping_(std::move(handles.state)),
      counters_(mapping_->counters()),
      is_taken_over_(handles.is_taken_over),
      key_(handles.key),
      hot_list_(plan_.hot),
      hot_lists_given_(plan_.hot ? 1 : 0),
      traced_(plan_.trace.has_value()),
      trace_path_(plan_.trace ? plan_.trace->path() : "") {
  if (is_taken_over_) {
    hot_lists_given_ = counters_.get(Count::hot_lists_ended) + mapping_->state().hot.count;
    if (mapping_->state().hot.count > 0) {
      list_opener_ = std::thread(&Session::open_lists, this);
    }
  } else if (plan_.hot_refused) {
    counters_.add(Count::hot_list_refused);
  }
  try {
    thread_ = std::thread(&Session::run, this);
  } catch (...) {
    if (list_opener_.joinable()) {
      list_opener_.join();
    }
    throw;
  }
}

Session::~Session() {
  stop();
  thread_.join();
  if (list_opener_.joinable()) {
    list_opener_.join();
  }
}

// The files of the lists may be on a disk that does not answer, so the guest does not wait for
// them.
void Session::open_lists() {
  mark_crashes_of(key_);
  std::vector<std::shared_ptr<const HotFile>> lists;
  HotListCache files;
  const SessionState::HotLists& hot = mapping_->state().hot;
  for (uint32_t i = 0; i < hot.count; ++i) {
    try {
      lists.push_back(files.open(std::string(hot.paths.at(i).view()), *plan_.image));
    } catch (const std::exception& error) {
      log_.warn(std::string(error.what()) + "; its pages are not installed ahead of faults");
      lists.push_back(nullptr);
    }
  }
  const std::lock_guard lock(orders_mutex_);
  hot_list_ = lists.back();
  order({.kind = Order::Kind::resume_lists, .lists = std::move(lists)});
}

void Session::take_over(FaultLoop& loop) {
  const uint64_t replayed = loop.take_over();
  if (loop.detached()) {
    mark_detached();
  }
  replayed_.store(replayed, std::memory_order_release);
  signal_event(notify_);
}

void Session::stop() {
  stop_.store(true, std::memory_order_relaxed);
  signal_event(wake_.get());
}

bool Session::wait_for_end(std::chrono::milliseconds limit) {
  std::unique_lock lock(orders_mutex_);
  const bool ended = end_.wait_for(lock, limit, [this] { return this->ended(); });
  if (!ended) {
    abandoned_ = true;
    thread_.detach();
  }
  return ended;
}

void Session::run() {
  // The name that top and gdb show. The kernel stores 15 bytes.
  constexpr size_t kNameBytes = 15;
  static_cast<void>(
      ::pthread_setname_np(::pthread_self(), ("vm " + id_).substr(0, kNameBytes).c_str()));
  request_short_slice();
  leave_rseq();
  mark_crashes_of(key_);
  try {
    serve();
  } catch (const std::exception& error) {
    // A guest that is not served hangs silently. Killing its VMM makes the failure visible to its
    // owner.
    log_.warn(
        std::string(error.what()) +
        (vmm_.kill() ? "; killed the VMM" : "; cannot kill the VMM, which is no longer served"));
  }
  release_resources();
  {
    const std::lock_guard lock(orders_mutex_);
    if (completion_) {
      completion_->set(Completion::State::failed, "session closed before completion");
    }
    ended_.store(true, std::memory_order_release);
    end_.notify_all();
    if (abandoned_) {
      return;
    }
    signal_event(notify_);
  }
  // No guest waits for this thread now, so it prepares the image for other sessions, if any. The
  // destructor waits for that.
  if (plan_.image.use_count() > 1) {
    plan_.image->mapped_pages().add_wanted();
  }
}

// Frees the resources that only this thread uses, before others are notified of the end.
void Session::release_resources() {
  {
    const std::lock_guard lock(orders_mutex_);
    released_ = true;
  }
  uffd_.reset();
  // The close may block, because a peer may have sent anything. It should block this process rather
  // than the keeper, so the descriptor of this object stays until the keeper's is closed.
  if (mapping_->file() < 0) {
    socket_.reset();
  }
  vmm_.close_pidfd();
}

// Called after a completion. A madvise that found the memory registered may still queue its
// removal, and then waits until the removal is read.
void Session::linger(VmmWatch& watch) {
  const uint64_t end = monotonic_ns() + kSecond;
  std::array<uffd_msg, SessionState::kEvents> ignored{};
  for (uint64_t now = end - kSecond; now < end && !stop_.load(std::memory_order_relaxed);
       now = monotonic_ns()) {
    if (!watch.wait(end - now)) {
      return;
    }
    clear_event(wake_.get());
    while (uffd_read(uffd_.get(), ignored) == ignored.size()) {
    }
  }
}

void Session::serve() {
  // The loop requires O_NONBLOCK. Firecracker sets it.
  if (::fcntl(uffd_.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
    base::throw_errno("cannot set the mode of a userfaultfd");
  }
  // A VMM that clears O_NONBLOCK can make reads block if the kernel does not support RWF_NOWAIT for
  // them.
  std::optional<ReadTicker> ticker;
  if (!features().has(Feature::nowait_read) || !uffd_has_nowait_read(uffd_.get())) {
    ticker.emplace();
  }
  hot::TraceWriter* trace = plan_.trace ? &*plan_.trace : nullptr;
  if (trace != nullptr && is_taken_over_) {
    trace->resume(regions_, plan_.image->size());
  } else if (trace != nullptr) {
    trace->start(regions_, plan_.image->size());
  }
  FaultLoop loop({.uffd = uffd_.get(),
                  .state = mapping_->state(),
                  .image = *plan_.image,
                  .vmm = vmm_,
                  .counters = counters_,
                  .log = log_,
                  .trace = trace},
                 is_taken_over_ ? Window::of_setting(mapping_->state().window_pages,
                                                     mapping_->state().window_bytes.factor)
                                : plan_.serving.window_of(trace != nullptr));
  if (is_taken_over_) {
    take_over(loop);
  } else {
    if (plan_.hot) {
      loop.prefetch(plan_.hot);
    }
    if (trace == nullptr) {
      loop.release_holes();
    }
  }
  VmmWatch watch(uffd_.get(), socket_.get(), vmm_, wake_.get(), regions_);
  while (!stop_.load(std::memory_order_relaxed) && !loop.detached()) {
    if (has_orders_.load(std::memory_order_acquire)) {
      run_orders(loop);
    }
    const std::optional<uint64_t> wait_ns = loop.wait_ns();
    if (!wait_ns) {
      loop.flush();
    }
    if (wait_ns != 0 && !watch.wait(wait_ns)) {
      break;
    }
    if (!loop.step() || loop.detached()) {
      break;
    }
  }
  if (loop.detached()) {
    mark_detached();
    linger(watch);
  }
  loop.report_suppressed();
  if (plan_.trace) {
    plan_.trace->finish();
  }
}

}  // namespace pager
