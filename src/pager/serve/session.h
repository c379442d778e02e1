// SPDX-License-Identifier: Apache-2.0
// One connected VMM: its thread, and the resources that are freed when it ends.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "hot/trace_writer.h"
#include "pager/faults/completion.h"
#include "pager/faults/counters.h"
#include "pager/faults/hot_file.h"
#include "pager/faults/session_log.h"
#include "pager/faults/session_state.h"
#include "pager/faults/vmm.h"
#include "pager/image/image.h"
#include "pager/protocol/handshake.h"
#include "pager/serve/serving_options.h"

namespace pager {

class FaultLoop;
class VmmWatch;

// How a connected VMM is served.
struct ServingPlan {
  std::shared_ptr<const Image> image;
  std::shared_ptr<const HotFile> hot;  // may be null
  bool hot_refused = false;            // the requested list cannot be used
  std::optional<hot::TraceWriter> trace{};
  ServingOptions serving{};
};

// Serves from its construction until the VMM's memory is freed. The thread that uses the
// descriptors closes them as its last act, or the destructor does after it has joined the thread.
// So no descriptor number is reused while a thread may still use it.
class Session {
 public:
  // The descriptors of a VMM, and the state of its memory.
  struct Handles {
    base::Fd uffd;
    base::Fd socket;
    Vmm vmm;
    std::unique_ptr<StateMapping> state;
    // The state is that of a server that has ended: the session continues there.
    bool is_taken_over = false;
    uint64_t key = 0;  // at the keeper
  };
  // Fills in a new state, before the session exists.
  static void describe(SessionState& state, const std::string& id, const ServingPlan& plan,
                       const Vmm& vmm);
  // `notify` is an eventfd that the session writes when it has ended; it must outlive the session.
  // Throws std::system_error if no thread can be started. The regions of the state must fit the
  // image.
  Session(std::string id, ServingPlan plan, Handles handles, int notify);
  // Stops the thread and joins it. If the VMM still lives, its guest hangs at the next fault. The
  // join blocks while a disk blocks the thread: call wait_for_end() first.
  ~Session();
  // Asks the thread to end; does not wait.
  void stop();
  // Waits, for at most `limit`, for the thread to end. If this returns false, the thread is
  // detached, and the caller must leak this object because the thread still uses it.
  bool wait_for_end(std::chrono::milliseconds limit);
  Session(const Session&) = delete;
  Session(Session&&) = delete;
  Session& operator=(const Session&) = delete;
  Session& operator=(Session&&) = delete;

  const std::string& id() const { return id_; }
  // Only the thread uses the VMM's pidfd, which it closes.
  pid_t vmm_pid() const { return vmm_.pid(); }
  uint64_t vmm_start_time() const { return vmm_.start_time(); }
  const Image& image() const { return *plan_.image; }
  const std::shared_ptr<const Image>& shared_image() const { return plan_.image; }
  const std::vector<hot::Region>& regions() const { return regions_; }
  Window window() const { return plan_.serving.window_of(!plan_.serving.trace_path.empty()); }
  // The file of its trace; empty if it has none.
  std::string trace_path() const;
  // The last list that was given; may be null.
  std::shared_ptr<const HotFile> hot_list() const;
  const Counters& counters() const { return counters_; }
  SessionState& state() { return mapping_->state(); }
  // Calls `give` with the descriptors in the order of kept::Session, unless the thread ends. The
  // thread does not end before `give` returns.
  using GiveDescriptors = std::function<void(std::span<const int> fds)>;
  void with_descriptors(const GiveDescriptors& give) const;
  // The thread moves its state to this file, and calls `give` just before.
  void move_state(base::Fd file, GiveDescriptors give);
  // The state that the caller may change. The thread does not move it at the same time.
  void change_state(const std::function<void(SessionState& state)>& change);
  // The number of removals that the server before this one had read and maybe not applied; nothing
  // until the session has taken over, which it signals by `notify`.
  std::optional<uint64_t> replayed() const {
    const uint64_t count = replayed_.load(std::memory_order_acquire);
    return count == kNotYet ? std::nullopt : std::optional(count);
  }
  const SessionLog& log() const { return log_; }
  // Orders for the thread; thread-safe. Each order but pause() ends a pause. complete() returns the
  // completion, which may already be done, or null if another one is running and a client waits for
  // it. A running completion without a client continues as this one. `wait`: Completion::waited.
  std::shared_ptr<Completion> complete(uint64_t bytes_per_second, bool wait);
  // The last completion; may be null.
  std::shared_ptr<const Completion> completion() const;
  // With null, continues the previous list. Returns false if SessionState::kHotLists others are in
  // progress.
  bool prefetch(std::shared_ptr<const HotFile> list);
  void pause();
  // Writes a mark into the trace. Returns false if the session has none.
  bool mark(std::string name);
  // Begins a trace, or ends it if `path` is empty. Returns false if the session has a trace, or
  // none to end.
  bool trace(std::string path);

  // The thread no longer serves; the destructor does not block.
  bool ended() const { return ended_.load(std::memory_order_acquire); }

 private:
  static constexpr uint64_t kNotYet = ~uint64_t{0};
  struct Order {
    enum class Kind { complete, prefetch, pause, resume_lists, mark, trace, move_state } kind;
    std::shared_ptr<Completion> completion{};
    std::shared_ptr<const HotFile> list{};
    std::vector<std::shared_ptr<const HotFile>> lists{};
    std::string text{};  // the name of a mark, or the path of a trace
    base::Fd file{};
    GiveDescriptors give{};
  };
  void run();
  void serve();
  void release_resources();
  void order(Order order);
  void run_orders(FaultLoop& loop);
  void begin_trace(FaultLoop& loop, const std::string& path);
  void end_trace(FaultLoop& loop);
  void mark_detached();
  void give_with_state(int state, const GiveDescriptors& give) const;
  void run_move(Order& order);
  void linger(VmmWatch& watch);
  void take_over(FaultLoop& loop);
  void open_lists();

  std::string id_;
  ServingPlan plan_;
  std::vector<hot::Region> regions_;
  base::Fd uffd_;
  base::Fd socket_;
  Vmm vmm_;
  base::Fd wake_;  // eventfd
  int notify_;
  SessionLog log_;
  std::unique_ptr<StateMapping> mapping_;
  Counters& counters_;  // in mapping_
  bool is_taken_over_;
  uint64_t key_;
  std::atomic<uint64_t> replayed_{kNotYet};
  mutable std::mutex orders_mutex_;
  std::vector<Order> orders_;
  std::shared_ptr<Completion> completion_;   // the last one
  bool released_ = false;                    // the thread closes the descriptors
  bool detached_ = false;                    // completed: every later completion is done
  std::shared_ptr<const HotFile> hot_list_;  // the last list
  uint64_t hot_lists_given_ = 0;
  bool traced_ = false;     // a trace was ordered, and not ended
  std::string trace_path_;  // of that trace
  std::atomic<bool> has_orders_{false};
  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  std::condition_variable end_;  // notified when `ended_` changes, under orders_mutex_
  bool abandoned_ = false;       // detached: the owner of `notify_` may no longer exist
  std::thread list_opener_;      // of a session that was taken over
  std::thread thread_;
};

}  // namespace pager
