// SPDX-License-Identifier: Apache-2.0
// Installs hot lists, one after the other, while no fault waits.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "hot/trace_writer.h"
#include "pager/faults/cold_pages.h"
#include "pager/faults/counters.h"
#include "pager/faults/hot_file.h"
#include "pager/faults/packed_file.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/session_log.h"
#include "pager/faults/session_state.h"

namespace pager {

// Records its lists, and how far the first is installed, in its part of SessionState. The arguments
// of the constructor must outlive it. Belongs to one thread.
class HotInstaller {
 public:
  HotInstaller(SessionState::HotLists& state, const PageTable& table, PageFiller& filler,
               const Image& image, ColdPages& cold, Counters& counters, const SessionLog& log,
               hot::TraceWriter* trace)
      : state_(state),
        table_(table),
        filler_(filler),
        image_(image),
        cold_(cold),
        counters_(counters),
        log_(log),
        trace_(trace) {}

  // Continues the lists of the state, which the caller has opened again; null for a file that
  // cannot be opened. Pages that are installed are skipped.
  void take_over(std::span<const std::shared_ptr<const HotFile>> lists);

  // Appends a list. If it does not fit the regions, or SessionState::kHotLists are in progress, the
  // list is refused as a whole, with a message in the log.
  void add(std::shared_ptr<const HotFile> list);
  // Ends all lists, because the VMM has reached its memory limit; logs that if `report` is set.
  void drop(bool report);

  void set_trace(hot::TraceWriter* trace) { trace_ = trace; }

  // Whether a list was given, even if it is installed or dropped.
  bool was_given() const { return listed_ != nullptr; }
  // Counts a fault outside of the last list that was started.
  void count_fault(const PageTable::RegionPages& in, uint64_t page);

  bool has_work() const { return hot_ != nullptr; }
  // The next pages are being read from the disk: call piece() again at due_ns().
  uint64_t due_ns() const { return due_ns_; }
  // Installs at most `bytes`, or one page, of the list: untouched pages that are in the page cache.
  // Others are read by another thread, and nothing is installed until they are there. From the
  // first page that is not in the page cache on, a packed list is installed from its own file.
  // Pages that cannot be read or installed are left to later faults, which report the error.
  Stop piece(uint64_t bytes);

 private:
  void start(std::shared_ptr<const HotFile> list);
  void start_next();
  void end_list();
  void next_chunk();
  void record();
  void seek();
  void trace_list();
  size_t select(const PageTable::RegionPages& in, uint64_t most);
  void read_cold_pages();
  void begin_packed();
  Stop install(const PageTable::RegionPages& in, bool& waits);
  void refuse_pages(const std::string& problem);

  // A page of the chunk, and its place in the list, counted from the start of the chunk.
  struct Entry {
    uint64_t page;
    uint64_t place;
    auto operator<=>(const Entry&) const = default;
  };

  SessionState::HotLists& state_;
  const PageTable& table_;
  PageFiller& filler_;
  const Image& image_;
  ColdPages& cold_;
  Counters& counters_;
  const SessionLog& log_;
  hot::TraceWriter* trace_;                          // may be null
  std::shared_ptr<const HotFile> hot_;               // the list in progress; null: none
  std::deque<std::shared_ptr<const HotFile>> more_;  // the lists after it
  std::shared_ptr<const HotFile> listed_;            // the last list that was started
  uint64_t next_entry_ = 0;                          // of hot_: the first page after the chunk
  size_t next_run_ = 0;                              // the run of next_entry_
  uint64_t next_in_run_ = 0;                         // its page there
  std::vector<Entry> chunk_;                         // part of the list: ascending page numbers
  size_t next_in_chunk_ = 0;
  std::vector<size_t> selected_;            // of chunk_: the current piece
  std::vector<uint64_t> pages_;             // of selected_
  std::vector<const std::byte*> contents_;  // the same, in a piece of a packed list
  uint64_t due_ns_ = 0;
  std::unique_ptr<PackedReader> packed_;  // of hot_; null: its pages come from the image
  std::unique_ptr<PackedReader> ending_;  // its thread ends
};

}  // namespace pager
