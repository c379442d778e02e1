// SPDX-License-Identifier: Apache-2.0
// The fault loop of one VMM: the order of events, faults and prefetch, and what failures lead to.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/log_limit.h"
#include "hot/trace_writer.h"
#include "pager/faults/completion.h"
#include "pager/faults/counters.h"
#include "pager/faults/hot_file.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/pagemap.h"
#include "pager/faults/session_log.h"
#include "pager/faults/session_state.h"
#include "pager/faults/vmm.h"
#include "pager/faults/window.h"
#include "pager/image/image.h"
#include "pager/kernel/uffd.h"

namespace pager {

// The inputs of a FaultLoop. All are borrowed and must outlive the loop.
struct FaultLoopParts {
  int uffd;
  SessionState& state;
  const Image& image;
  const Vmm& vmm;
  Counters& counters;
  const SessionLog& log;
  // May be null. The caller gives a traced session a window of one page by default, so that the
  // trace contains every page that the guest touches.
  hot::TraceWriter* trace;
};

// Belongs to one thread. It needs no lock, because the only reader of the userfaultfd is also the
// only installer. The order in step() keeps removed pages correct:
//
//| 1. Read a batch of messages.     The kernel returns faults before removals, whatever their order
//|                                  was, so a batch counts as one moment.
//| 2. Mark all removals of it.      Before any fault of the batch is answered.
//| 3. Answer its faults.            With zeros for removed pages and holes.
//| 4. Install one idle piece.       Only if no message was read, or on every kBusyRounds-th busy
//|                                  round: the rest of a window, else a part of the hot list, else
//|                                  a part of a completion.
//
// While a removal is unread, and until the VMM's madvise has run, the kernel refuses to install
// pages (EAGAIN). serve() then repeats the call in place up to kRemovalRetries times; without that,
// a guest starves while its balloon inflates. After that the fault is kept and tried again after
// the next read, which marks new removals first.
class FaultLoop {
 public:
  FaultLoop(const FaultLoopParts& parts, const Window& window);
  // Continues from the state of another loop, whatever point it reached. Call it before the first
  // step. `lists` are the files that state.hot_lists names; null for a file that cannot be opened.
  // The window is Window::of_setting(state.window_pages).
  void take_over(std::span<const std::shared_ptr<const HotFile>> lists);

  // Installs the pages of `list`, in order, whenever no fault waits. A list that does not fit the
  // regions is rejected as a whole, with a message in the log.
  void prefetch(std::shared_ptr<const HotFile> list);

  // Appends `list` to the lists of a running guest and ends a pause. Null only ends the pause.
  void prefetch_more(std::shared_ptr<const HotFile> list);
  // Stops hot lists and completions until either is requested again.
  void pause();
  // Installs all pages that are missing and were not removed, whenever no fault waits. Then checks
  // with the kernel that they are present, and unregisters the memory: from then on the VMM needs
  // no server, and detached() is true. A failure leaves the session as it was.
  void complete(std::shared_ptr<Completion> completion);
  bool detached() const { return parts_.state.completion == CompletionStage::detached; }

  // Unregisters large holes of the image: the kernel itself fills them with zeros, before and after
  // a removal. Call it before the first step. Do not call it for a traced session, because faults
  // in these holes are no longer seen.
  void release_holes();

  // Runs one round; never blocks. Returns false if the VMM has ended or was killed.
  bool step();
  // How long, in ns, the caller may wait for the userfaultfd before the next step. Nothing: without
  // limit. 0: there is work now.
  std::optional<uint64_t> wait_ns() const;
  // Writes buffered trace lines. Call it before a wait without limit.
  void flush() const;
  // Logs the number of suppressed messages. Call it at the end.
  void report_suppressed() const;

  // The part of step() that follows the read.
  void handle(std::span<const uffd_msg> messages);

  // How often a call that meets a removal in progress is repeated in place. This takes at most 0.5
  // ms; the thread that runs the madvise must wake up first.
  static constexpr int kRemovalRetries = 2000;
  // After this number of consecutive faults that met a removal, the loop moves to another core. The
  // thread that removes pages then shares this core and runs whenever this thread reads, so the
  // loop always misses the moment between two removals.
  static constexpr int kMissedMoments = 8;
  // If a 2 MiB page is reported as present and faults again this number of times, the pool of huge
  // pages is empty.
  static constexpr int kHugeRounds = 3;
  // After this number of consecutive rounds with messages, one idle piece is installed anyway.
  static constexpr int kBusyRounds = 4;
  // A guest with random accesses gets the rest of the aligned 128 KiB around a fault once it has
  // touched kDense pages of them, and the rest of the aligned 2 MiB once kDenseWide pages of them
  // are present. Touching 256 MiB in random order then takes 4000 faults instead of 65,536, while a
  // guest that touches 1 % of its pages still gets single pages.
  static constexpr uint64_t kDense = 4;
  static constexpr uint64_t kDenseWide = 32;

 private:
  // A fault that is not answered yet.
  struct Fault {
    uint64_t address = 0;
    uint64_t since_ns = 0;
    uint64_t not_before_ns = 0;  // 0: after the next read of events
    bool kept = false;           // it had to wait before
    uint32_t reads = 0;          // failed reads of the image
    int waits = 0;               // rounds of waiting for memory
  };
  enum class Answer { given, keep };

  Answer serve(Fault& fault);
  Window::Plan plan_for(const Fault& fault, const PageTable::RegionPages& in, uint64_t page);
  void select(const PageTable::RegionPages& in, const PageSpan& span, uint64_t wanted);
  void queue_rest(const PageTable::RegionPages& in, uint64_t page, const PageSpan& later);
  void queue(const PageTable::RegionPages& in, PageSpan span);
  Answer handle_result(Fault& fault, const PageTable::RegionPages& in, const Filled& filled);
  Answer unreadable(Fault& fault, const PageTable::RegionPages& in, int error);
  Answer wait_for_memory(Fault& fault, uint64_t page_size);
  Answer give_up(const Fault& fault, const PageTable::RegionPages* in, const std::string& why);
  void kill_vmm(const std::string& why);
  void mark_removal(const uffd_msg& message);
  void close_fork(const uffd_msg& message);
  void check_image();
  void note(uint64_t address);
  void take(Fault fault);
  void serve_kept();
  void finish(const Fault& fault);
  bool completing() const {
    const CompletionStage stage = parts_.state.completion;
    return stage == CompletionStage::filling || stage == CompletionStage::confirming;
  }
  bool has_idle_work() const {
    return !rest_.empty() || (parts_.state.paused == 0 && (hot_ || completing()));
  }
  void do_idle_work();
  uint64_t piece_pages(const PageTable::RegionPages& in) const;
  void rest_piece();
  void hot_piece();
  void next_chunk();
  void next_list();
  void drop_lists();
  void record_lists();
  void completion_piece();
  void pass_over_gone(const PageTable::RegionPages& in);
  void verify_completion();
  std::optional<std::vector<PageSpan>> find_missing() const;
  int unregister(const PageTable::RegionPages& in, uint64_t first, uint64_t count);
  void detach();
  void end_completion(const std::string& why);
  void remember_poisoned(uint64_t page);
  void heal();
  Stop fill_selected(const PageTable::RegionPages& in);

  FaultLoopParts parts_;
  PageTable table_;
  PageFiller filler_;
  Window window_;
  size_t last_batch_ = 0;    // messages of the last read; step() clears their `event`
  std::vector<Fault> kept_;  // a successor does not need these: it wakes all threads
  std::map<uint64_t, int> huge_rounds_;
  // Spans to install while no fault waits. A successor does not need them.
  struct Rest {
    const PageTable::RegionPages* in;
    PageSpan span;
  };
  std::deque<Rest> rest_;
  std::shared_ptr<const HotFile> hot_;     // the list that is being installed; null: none
  std::shared_ptr<const HotFile> listed_;  // the last list, for Count::faults_unlisted
  size_t next_hot_ = 0;                    // index of an entry
  std::vector<uint64_t> chunk_;            // part of the list: ascending page numbers
  size_t next_in_chunk_ = 0;
  int busy_rounds_ = 0;
  int missed_moments_ = 0;
  bool idle_blocked_ = false;  // the last idle piece met a removal in progress

  std::deque<std::shared_ptr<const HotFile>> more_hot_;  // the lists after hot_
  std::shared_ptr<Completion> completion_;               // null: no client waits
  uint64_t complete_not_before_ns_ = 0;                  // limits its rate
  uint64_t heal_not_before_ns_ = 0;
  uint64_t heal_wait_ns_ = 0;
  uint64_t heal_next_ = 0;        // page: where the pass over poisoned pages continues
  int heal_failures_ = 0;         // consecutive, in this pass
  uint64_t healed_unlogged_ = 0;  // healed pages that were not logged yet
  base::LogLimit poison_log_;
  base::LogLimit heal_log_;
  // While memory becomes available page by page, each page would log a shortage.
  base::LogLimit memory_log_{1, std::chrono::minutes(1)};

  std::vector<uint64_t> selected_;  // pages of the current call
  uint64_t moment_ns_ = 0;          // time of the last read or answer
  uint64_t last_fault_ns_ = 0;
  uint64_t read_ns_ = 0;  // of the current fault
  uint64_t image_checked_ns_ = 0;
  bool fork_warned_ = false;
  bool over_ = false;
};

}  // namespace pager
