// SPDX-License-Identifier: Apache-2.0
// Serves one VMM: the order in which events, faults and prefetch are handled, and what failures
// lead to.
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

// What a FaultLoop works with. All of it is borrowed and must outlive the loop.
struct FaultLoopParts {
  int uffd;
  SessionState& state;
  const Image& image;
  const Vmm& vmm;
  Counters& counters;
  const SessionLog& log;
  hot::TraceWriter*
      trace;  // may be null. A traced session installs what is asked for and nothing
              // beside it, unless the window is fixed: the trace is to hold every page
};

// Belongs to one thread. Needs no lock: there is one reader of the userfaultfd, and it is also the
// one that installs. The order inside of step() is what makes removed pages safe:
//
//   read a whole batch of messages     the kernel hands out faults before removals, whatever their
//                                      order was, so a batch is one moment
//   mark every removal of the batch    before any of its faults is answered
//   answer the faults                  zeros for what was removed or is a hole
//   only when nothing was waiting      one piece of what nobody has asked for yet: the rest of a
//                                      window, else the hot list, else a completion
//
// While a removal is not read, the kernel refuses to install anything (EAGAIN), and it goes on
// refusing until the VMM's madvise has run: a fault that meets this is repeated a bounded number of
// times in place (else a guest starves while its balloon inflates), then kept, and looked at again,
// removals first, after the next read.
class FaultLoop {
 public:
  FaultLoop(const FaultLoopParts& parts, const Window& window);
  // For a state that another loop has left, wherever that stopped; before the first step. `lists`
  // are the files that state.hot_lists names, null where one cannot be had any more. The window is
  // Window::of_setting(state.window_pages).
  void take_over(std::span<const std::shared_ptr<const HotFile>> lists);

  // Installs these pages, in their order, whenever nothing else waits. A list that does not fit the
  // regions is refused as a whole: nothing of it is installed, and the log says why.
  void prefetch(std::shared_ptr<const HotFile> list);

  // As a second list, to a guest that runs: `list` follows what is left of the one before. Ends a
  // pause. Null: only that.
  void prefetch_more(std::shared_ptr<const HotFile> list);
  // No more of the hot list and no completion until one of them is asked for again.
  void pause();
  // Installs everything that is missing and was not removed, whenever nothing else waits; then asks
  // the kernel whether it is there, and unregisters the memory: from then on the VMM needs no
  // server. detached() says that this has happened. What fails leaves the session as it was.
  void complete(std::shared_ptr<Completion> completion);
  bool detached() const { return parts_.state.completion == CompletionStage::detached; }

  // Large holes of the image need no server: the kernel gives zeros itself, before and after a
  // removal. Call it before the first step, and not where faults are to be seen.
  void release_holes();

  // One round, which never blocks. False when the VMM has ended, or had to be killed.
  bool step();
  // How long the caller may wait for the userfaultfd before the next step, in ns: nothing when
  // there is no reason to come back by itself, 0 when there is work now.
  std::optional<uint64_t> wait_ns() const;
  // Call before waiting without limit.
  void flush() const;
  // Call at the end: what the log has not been told of.
  void report_suppressed() const;

  // The part of step() that follows the read.
  void handle(std::span<const uffd_msg> messages);

  // In-place repeats of a call that meets a removal under way, half a millisecond at the most: the
  // madvise has to wake up first.
  static constexpr int kPatience = 2000;
  // So many faults in a row that came too late for the moment between two removals: the thread that
  // removes shares our core, and had its turn inside of our read.
  static constexpr int kMissedMoments = 8;
  // Rounds in which a 2 MiB page is "present" and faults again: then the pool of pages is empty.
  static constexpr int kHugeRounds = 3;
  // After so many rounds with faults and no gap, a piece is installed all the same.
  static constexpr int kBusyRounds = 4;
  // A guest that jumps about gets the rest of the 128 KiB around a fault once it has touched this
  // many pages of them, and the rest of the 2 MiB once this many of those are there: touching 256
  // MiB in random order is then 4000 faults, and one page in a hundred stays one page.
  static constexpr uint64_t kDense = 4;
  static constexpr uint64_t kDenseWide = 32;

 private:
  // A fault that is not answered yet.
  struct Fault {
    uint64_t address = 0;
    uint64_t since_ns = 0;
    uint64_t not_before_ns = 0;  // 0: as soon as events were read again
    bool kept = false;           // met a reason to wait before
    uint32_t reads = 0;          // that failed
    int waits = 0;               // for memory
  };
  enum class Answer { given, keep };

  Answer serve(Fault& fault);
  Window::Plan plan_for(const Fault& fault, const PageTable::RegionPages& in, uint64_t page);
  void select(const PageTable::RegionPages& in, const PageSpan& span, uint64_t wanted);
  void queue_rest(const PageTable::RegionPages& in, uint64_t page, const PageSpan& later);
  void queue(const PageTable::RegionPages& in, PageSpan span);
  Answer follow(Fault& fault, const PageTable::RegionPages& in, const Filled& filled);
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
  bool has_gap_work() const {
    return !rest_.empty() || (parts_.state.paused == 0 && (hot_ || completing()));
  }
  void work_in_gap();
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
  Stop fill_in_gap(const PageTable::RegionPages& in);

  FaultLoopParts parts_;
  PageTable table_;
  PageFiller filler_;
  Window window_;
  size_t last_batch_ = 0;    // messages of the last read, whose `event` is to be cleared
  std::vector<Fault> kept_;  // a successor needs none of these: it wakes everybody
  std::map<uint64_t, int> huge_rounds_;
  // Work for when nothing waits. A successor needs none of it.
  struct Rest {
    const PageTable::RegionPages* in;
    PageSpan span;
  };
  std::deque<Rest> rest_;
  std::shared_ptr<const HotFile> hot_;     // null when nothing is left of it
  std::shared_ptr<const HotFile> listed_;  // what it was
  size_t next_hot_ = 0;                    // entry
  std::vector<uint64_t> chunk_;            // of the list: page numbers that ascend
  size_t next_in_chunk_ = 0;
  int busy_rounds_ = 0;
  int missed_moments_ = 0;
  bool gap_blocked_ = false;  // the last piece met a removal under way

  std::deque<std::shared_ptr<const HotFile>> more_hot_;  // lists that follow
  std::shared_ptr<Completion> completion_;               // who asked for it; null: nobody waits
  uint64_t complete_not_before_ns_ = 0;                  // to keep to its rate
  uint64_t heal_not_before_ns_ = 0;
  uint64_t heal_wait_ns_ = 0;
  uint64_t heal_next_ = 0;      // page: where the pass over poisoned pages goes on
  int heal_failures_ = 0;       // in a row, in this pass
  uint64_t healed_unsaid_ = 0;  // pages that the log does not know of yet
  base::LogLimit poison_log_;
  base::LogLimit heal_log_;
  // While pages come back one by one a shortage would be said with each of them.
  base::LogLimit memory_log_{1, std::chrono::minutes(1)};

  std::vector<uint64_t> selected_;  // pages of the call that is made now
  uint64_t moment_ns_ = 0;          // when the last batch was read, or the last fault answered
  uint64_t last_fault_ns_ = 0;
  uint64_t read_ns_ = 0;  // of the fault that is being served
  uint64_t image_checked_ns_ = 0;
  bool fork_warned_ = false;
  bool over_ = false;
};

}  // namespace pager
