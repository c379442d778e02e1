// SPDX-License-Identifier: Apache-2.0
// Installs hot lists, one after the other, while no fault waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "pager/faults/counters.h"
#include "pager/faults/hot_file.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/session_log.h"
#include "pager/faults/session_state.h"

namespace pager {

// Records its lists, and how far the first is installed, in its part of SessionState. The arguments
// of the constructor must outlive it. Belongs to one thread.
class HotInstaller {
 public:
  HotInstaller(SessionState::HotLists& state, const PageTable& table, PageFiller& filler,
               Counters& counters, const SessionLog& log)
      : state_(state), table_(table), filler_(filler), counters_(counters), log_(log) {}

  // Continues the lists of the state, which the caller has opened again; null for a file that
  // cannot be opened. Pages that are installed are skipped.
  void take_over(std::span<const std::shared_ptr<const HotFile>> lists);

  // Appends a list. If it does not fit the regions, or SessionState::kHotLists are in progress, the
  // list is refused as a whole, with a message in the log.
  void add(std::shared_ptr<const HotFile> list);
  // Ends all lists, because the VMM has reached its memory limit; logs that if `report` is set.
  void drop(bool report);

  // Whether a list was given, even if it is installed or dropped.
  bool was_given() const { return listed_ != nullptr; }
  // Counts a fault outside of the last list that was started.
  void count_fault(const PageTable::RegionPages& in, uint64_t page);

  bool has_work() const { return hot_ != nullptr; }
  // Installs at most `bytes`, or one page, of the list: untouched pages only. Pages that cannot be
  // read or installed are left to later faults, which report the error.
  Stop piece(uint64_t bytes);

 private:
  void start(std::shared_ptr<const HotFile> list);
  void start_next();
  void next_chunk();
  void record();

  SessionState::HotLists& state_;
  const PageTable& table_;
  PageFiller& filler_;
  Counters& counters_;
  const SessionLog& log_;
  std::shared_ptr<const HotFile> hot_;               // the list in progress; null: none
  std::deque<std::shared_ptr<const HotFile>> more_;  // the lists after it
  std::shared_ptr<const HotFile> listed_;            // the last list that was started
  size_t next_entry_ = 0;                            // of hot_: the first after the chunk
  std::vector<uint64_t> chunk_;                      // part of the list: ascending page numbers
  size_t next_in_chunk_ = 0;
  std::vector<uint64_t> selected_;  // pages of the current piece
};

}  // namespace pager
