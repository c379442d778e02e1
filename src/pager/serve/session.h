// SPDX-License-Identifier: Apache-2.0
// One connected VMM: its thread, and all that is freed when it ends.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
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
#include "pager/faults/window.h"
#include "pager/image/image.h"
#include "pager/protocol/handshake.h"

namespace pager {

class FaultLoop;
class VmmWatch;

// What a VMM that connects is served with.
struct ServingPlan {
  std::shared_ptr<const Image> image;
  std::shared_ptr<const HotFile> hot;  // may be null
  bool hot_refused = false;            // one was asked for and cannot be used
  std::optional<hot::TraceWriter> trace{};
  OnFailure on_failure = OnFailure::poison;
  uint32_t read_attempts = kReadAttempts;
  Window window = Window::automatic();
};

// Serves from its construction until the VMM's memory is gone, whatever else happens. Descriptors
// are closed by the one thread that uses them, as its last act, or by the destructor once that
// thread has been joined: no number is ever given out again while somebody may use it.
class Session {
 public:
  // `notify` is an eventfd that is written to when the session has ended; it must outlive it.
  // Throws base::BadData when the regions do not fit the image, std::system_error when there is no
  // thread.
  Session(std::string id, ServingPlan plan, HandshakeReader::Result handshake, base::Fd socket,
          Vmm vmm, int notify);
  // Ends the thread first, also when the VMM lives: it then hangs at its next fault. Waits for the
  // thread, which a disk may hold: see end().
  ~Session();
  // Tells the thread to end; does not wait.
  void stop();
  // Waits for the thread's end, no longer than `limit`. If it has not ended then, it is detached,
  // and the caller must leak this object: the thread still uses it.
  bool wait_for_end(std::chrono::milliseconds limit);
  Session(const Session&) = delete;
  Session(Session&&) = delete;
  Session& operator=(const Session&) = delete;
  Session& operator=(Session&&) = delete;

  const std::string& id() const { return id_; }
  // Nobody but the thread touches the VMM's pidfd, which it closes.
  pid_t vmm_pid() const { return vmm_.pid(); }
  uint64_t vmm_start_time() const { return vmm_.start_time(); }
  const Image& image() const { return *plan_.image; }
  const std::shared_ptr<const Image>& shared_image() const { return plan_.image; }
  const std::vector<hot::Region>& regions() const { return regions_; }
  // The last one that it was given; may be null.
  std::shared_ptr<const HotFile> hot_list() const;
  const Counters& counters() const { return counters_; }
  const SessionLog& log() const { return log_; }
  // Orders for the thread, from any other. Each ends a pause, but for pause() itself.
  // The completion, perhaps done already; null when one is under way whose client waits for it. One
  // that nobody waits for goes on as this one. `wait`: Completion::waited.
  std::shared_ptr<Completion> complete(uint64_t bytes_per_second, bool wait);
  // The last one; may be null.
  std::shared_ptr<const Completion> completion() const;
  // Null: go on with the one before. False: SessionState::kHotLists others are under way.
  bool prefetch(std::shared_ptr<const HotFile> list);
  void pause();

  // The thread serves no more; the destructor does not block.
  bool ended() const { return ended_.load(std::memory_order_acquire); }

 private:
  struct Order {
    enum class Kind { complete, prefetch, pause } kind;
    std::shared_ptr<Completion> completion{};
    std::shared_ptr<const HotFile> list{};
  };
  void run();
  void serve();
  void let_go();
  void order(Order order);
  void take_orders(FaultLoop& loop);
  void tell_that_it_is_detached();
  void linger(VmmWatch& watch);

  std::string id_;
  ServingPlan plan_;
  std::vector<hot::Region> regions_;
  base::Fd uffd_;
  base::Fd socket_;
  Vmm vmm_;
  base::Fd wake_;  // eventfd
  int notify_;
  SessionLog log_;
  std::optional<StateMapping> mapping_;
  Counters counters_;
  mutable std::mutex orders_mutex_;
  std::vector<Order> orders_;
  std::shared_ptr<Completion> completion_;  // the last one
  bool detached_ = false;  // the guest has all of its memory: every later one is done
  std::shared_ptr<const HotFile> hot_list_;  // the last one
  uint64_t hot_lists_given_ = 0;
  std::atomic<bool> has_orders_{false};
  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  std::condition_variable end_;  // of `ended_`, under orders_mutex_
  bool abandoned_ = false;       // whoever would be notified has gone
  std::thread thread_;
};

}  // namespace pager
