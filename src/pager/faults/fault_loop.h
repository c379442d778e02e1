// SPDX-License-Identifier: Apache-2.0
// The fault loop of one VMM: the order of events, faults and idle work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "pager/faults/cold_pages.h"
#include "pager/faults/completer.h"
#include "pager/faults/completion.h"
#include "pager/faults/fault.h"
#include "pager/faults/fault_handler.h"
#include "pager/faults/fault_loop_parts.h"
#include "pager/faults/hot_file.h"
#include "pager/faults/hot_installer.h"
#include "pager/faults/kept_faults.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/poison_healer.h"
#include "pager/faults/session_state.h"
#include "pager/faults/window.h"
#include "pager/faults/window_credit.h"
#include "pager/faults/window_rests.h"
#include "pager/kernel/uffd.h"

namespace pager {

// Belongs to one thread. It needs no lock, because the only reader of the userfaultfd is also the
// only installer. The order in step() keeps removed pages correct:
//
//| 1. Read a batch of messages.     The kernel returns faults before removals, whatever their order
//|                                  was, so a batch counts as one moment.
//| 2. Mark all removals of it.      Before any fault of the batch is answered.
//| 3. Answer its faults.            With zeros for removed pages and holes (FaultHandler).
//| 4. Install one idle piece.       Only if no message was read, or on every kBusyRounds-th busy
//|                                  round: the rest of a window, else a part of the hot list, else
//|                                  a part of a completion. Poisoned pages are read again when due.
//
// While a removal is unread, and until the VMM's madvise has run, the kernel refuses to install
// pages (EAGAIN). FaultHandler then repeats the call in place up to kRemovalRetries times; without
// that, a guest starves while its balloon inflates. After that the fault is kept (KeptFaults) and
// tried again after the next read, which marks new removals first.
//
// WindowRests, HotInstaller, Completer and PoisonHealer install what no fault waits for. They have
// one shape: has_work(); piece(), which installs one piece and returns why it stopped; and
// due_ns(), if a piece may have to wait. Call piece() only if has_work().
class FaultLoop {
 public:
  FaultLoop(const FaultLoopParts& parts, const Window& window);
  // Continues from the state of another loop, whatever point it reached: applies the removals that
  // were read, and wakes all waiters. Call it before the first step. The window is
  // Window::of_setting(state.window_pages, state.window_bytes.factor). Returns the number of
  // removals in the buffer.
  uint64_t take_over();
  // After take_over(), at any time: continues the hot lists of the state. `lists` are the files
  // that state.hot names; null for a file that cannot be opened.
  void resume_hot_lists(std::span<const std::shared_ptr<const HotFile>> lists);

  // Appends `list` to the hot lists, which are installed whenever no fault waits, and ends a pause.
  // Null only ends the pause. A list that does not fit is refused, with a message in the log.
  void prefetch(std::shared_ptr<const HotFile> list);
  // Stops hot lists and completions until either is requested again.
  void pause();
  // Installs all pages that are missing and were not removed, whenever no fault waits. Then checks
  // with the kernel that they are present, and unregisters the memory: from then on the VMM needs
  // no server, and detached() is true. A failure leaves the session as it was.
  void complete(std::shared_ptr<Completion> completion);
  bool detached() const { return completer_.detached(); }

  // Begins or ends (null) a trace. A new trace begins with the installed pages, which will not
  // fault, as listed pages. `window` replaces that of the session.
  void set_trace(hot::TraceWriter* trace, const Window& window);
  // Leaves the large holes of the image to the kernel (pager::release_holes). Call it before the
  // first step, and not for a traced session.
  void release_holes();

  // Runs one round; never blocks. Returns false if the VMM has ended or was killed.
  bool step();
  // How long, in ns, the caller may wait for the userfaultfd before the next step. Nothing: without
  // limit. 0: there is work now.
  std::optional<uint64_t> wait_ns() const;
  // Writes buffered trace lines. Call it before a wait without limit.
  void flush() const;
  // Logs the number of suppressed messages. Call it at the end.
  void report_suppressed() const { handler_.report_suppressed(); }

  // The part of step() that follows the read.
  void handle(std::span<const uffd_msg> messages);

  // After this number of consecutive rounds with messages, one idle piece is installed anyway.
  static constexpr int kBusyRounds = 4;

 private:
  void mark_removal(const uffd_msg& message);
  void handle_fault(const uffd_msg& message, uint64_t read_at);
  void close_fork(const uffd_msg& message);
  void note(uint64_t address);
  void take(Fault fault);
  void finish(const Fault& fault);
  bool has_idle_work() const;
  void do_idle_work();
  Stop hot_piece(uint64_t bytes);
  uint64_t piece_bytes() const;
  void map_around_lone_fault();
  void follow(Stop stop);
  void check_image();

  FaultLoopParts parts_;
  PageTable table_;
  PageFiller filler_;
  ColdPages cold_;
  KeptFaults kept_;
  WindowCredit credit_;
  WindowRests rests_;
  HotInstaller hot_;
  Completer completer_;
  PoisonHealer healer_;
  FaultHandler handler_;

  size_t last_batch_ = 0;  // messages of the last read; step() clears their `event`
  int busy_rounds_ = 0;
  bool idle_blocked_ = false;           // the last idle piece met a removal in progress
  uint64_t moment_ns_ = 0;              // time of the last read or answer
  uint64_t last_fault_ns_ = 0;          // time of the last read of a fault
  std::optional<uint64_t> lone_fault_;  // address of a fault long after the one before it
  uint64_t image_checked_ns_ = 0;
  bool fork_warned_ = false;
  bool over_ = false;
};

}  // namespace pager
