// SPDX-License-Identifier: Apache-2.0
// Answers one fault: chooses the pages to install, and decides what a failure leads to.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/log_limit.h"
#include "pager/faults/fault.h"
#include "pager/faults/fault_loop_parts.h"
#include "pager/faults/hot_installer.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/poison_healer.h"
#include "pager/faults/session_state.h"
#include "pager/faults/window.h"
#include "pager/faults/window_credit.h"
#include "pager/faults/window_rests.h"

namespace pager {

// Every fault gets an answer, at the latest after some waits, and no answer contains what the image
// did not hold. If the image cannot be read, the page is poisoned, or the VMM is killed. Has no
// part in SessionState but the setting of the window: the rest only affects speed. The arguments of
// the constructor must outlive it. Belongs to one thread.
class FaultHandler {
 public:
  // What else the answers use. All are borrowed.
  struct Parts {
    PageTable& table;
    PageFiller& filler;
    const HotInstaller& hot;
    WindowCredit& credit;  // of what it installs
    WindowRests& rests;    // gets the pages around a fault that need not be installed now
    PoisonHealer& healer;  // gets the pages that are poisoned
  };
  FaultHandler(const FaultLoopParts& loop, const Parts& parts, const Window& window);
  void set_window(const Window& window);

  // Makes one attempt to answer the fault, and updates it for the next.
  Answer answer(Fault& fault);
  // Kills the VMM and logs the reason.
  void kill_vmm(const std::string& why);
  // Logs the number of suppressed messages. Call it at the end.
  void report_suppressed() const;

  // How often a call that meets a removal in progress is repeated in place. This takes at most 0.5
  // ms; the thread that runs the madvise must wake up first.
  static constexpr int kRemovalRetries = 2000;
  // After this number of consecutive faults that met a removal, the thread moves to another core.
  // The thread that removes pages then shares this core and runs whenever this thread reads, so the
  // attempts always miss the moment between two removals.
  static constexpr int kMissedMoments = 8;
  // If a 2 MiB page is reported as present and faults again this number of times, the pool of huge
  // pages is empty.
  static constexpr int kHugeRounds = 3;

 private:
  Window::Plan plan_for(const Fault& fault, const PageTable::RegionPages& in, uint64_t page);
  Window::Plan within_credit(Window::Plan plan, uint64_t page) const;
  void select(const PageTable::RegionPages& in, const PageSpan& span, uint64_t wanted);
  Filled fill(const PageTable::RegionPages& in, const PageSpan& span, uint64_t wanted);
  void queue_rest(const PageTable::RegionPages& in, uint64_t page, const PageSpan& later);
  Answer given(const PageTable::RegionPages& in, uint64_t page, const Filled& filled);
  Answer not_given(Fault& fault, const PageTable::RegionPages& in, const Filled& filled);
  Answer wait_for_memory(uint64_t page_size);
  Answer unreadable(Fault& fault, const PageTable::RegionPages& in, int error);
  Answer give_up(const Fault& fault, const PageTable::RegionPages* in, const std::string& why);
  int poison(uint64_t address, uint64_t size) const;

  FaultLoopParts loop_;
  Parts parts_;
  Window window_;
  std::vector<uint64_t> selected_;       // pages of the current call
  std::map<uint64_t, int> huge_rounds_;  // by page: see kHugeRounds
  int missed_moments_ = 0;
  base::LogLimit poison_log_;
  // While memory becomes available page by page, each page would log a shortage.
  base::LogLimit memory_log_{1, std::chrono::minutes(1)};
};

}  // namespace pager
