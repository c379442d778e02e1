// SPDX-License-Identifier: Apache-2.0
// All that a page server must know to serve a VMM on, in one plain structure.
#pragma once

#include <linux/userfaultfd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "hot/region.h"
#include "pager/faults/page_bitmap.h"
#include "pager/image/image.h"

namespace pager {

// What happens when a page cannot be read from the image.
enum class OnFailure : uint32_t {
  poison,  // a touch of that page is SIGBUS in the VMM; where the kernel has no POISON: kill
  kill,    // the VMM is killed
};

// A page that cannot be read is tried this often, over 21 ms, before it is given up.
inline constexpr uint32_t kReadAttempts = 4;
inline constexpr uint32_t kMostReadAttempts = 1000;

// How far a completion is (FaultLoop::complete).
enum class CompletionStage : uint32_t {
  none,        // not asked for, or it has failed
  filling,     // what is missing is installed
  confirming,  // no view of the kernel: each page is copied again, to be told EEXIST
  detached,    // the memory is unregistered
};

// A path, of a file that was opened by it.
struct PathText {
  static constexpr size_t kBytes = 4096;  // PATH_MAX
  std::array<char, kBytes> bytes;

  void set(std::string_view path);
  std::string_view view() const { return bytes.data(); }
};

// One mapping of memory: this structure, then the regions, then three bitmaps, found by their
// offsets. It holds no pointers, so that another process may map it elsewhere. Together with the
// userfaultfd, a descriptor of the image and one of the VMM it is enough to serve on after the
// death of the thread that served so far; such a successor goes
//   1. check magic, version and image identity; open the hot lists again;
//   2. mark the REMOVEs among `events` as removed: they were read, and may not have been marked;
//   3. WAKE everything: faults that were read and not answered come again;
//   4. serve, and go on with a hot list and a completion where they were.
// FaultLoop::take_over is 2 and 3. Everything else is idempotent. Pages are numbered through all
// regions in their order. What a server tells about its sessions (ids, labels, counters) is no part
// of it: no guest's memory depends on that.
struct SessionState {
  static constexpr std::array<char, 8> kMagic{'S', 'F', 'S', 'E', 'S', 'S', 'I', 'O'};
  static constexpr uint32_t kVersion = 3;
  static constexpr size_t kEvents = 64;
  static constexpr size_t kHotLists = 4;

  struct RegionPages {
    hot::Region region;
    uint64_t first_page;  // number of its first page
  };

  std::array<char, 8> magic;
  uint32_t version;
  uint32_t region_count;
  uint64_t page_count;
  uint64_t total_bytes;  // of the whole mapping
  // Offsets in bytes from the start of this structure.
  uint64_t regions_at;    // RegionPages[region_count]
  uint64_t removed_at;    // bitmap: was removed by the VMM once, reads as zeros for ever
  uint64_t installed_at;  // bitmap: was installed by us, and not removed since
  uint64_t poisoned_at;   // bitmap: was poisoned by us, and neither installed nor removed since
  ImageIdentity image;
  int32_t vmm_pid;  // 0: not known
  OnFailure on_failure;
  uint64_t vmm_start_time;  // clock ticks after boot (base::process_start_time); 0: not known
  uint32_t read_attempts;
  uint32_t window_pages;  // Window::setting
  uint32_t paused;        // 1: neither hot lists nor a completion until one of them is asked for
  CompletionStage completion;
  uint32_t completion_rounds;  // times that the kernel did not have what we believed it had
  uint64_t completion_rate;    // bytes a second; 0: no limit
  uint64_t completion_next;    // page: what is before it was looked at
  // The list that was begun last, and those that follow it. `hot_next` is the first entry of it
  // that may not be installed.
  uint32_t hot_lists_count;
  uint64_t hot_next;
  std::array<PathText, kHotLists> hot_lists;
  PathText trace;  // empty: none; "-": standard output
  // Where messages are read into. `event` of each is 0 but for those of the last read.
  std::array<uffd_msg, kEvents> events;
};
static_assert(std::is_standard_layout_v<SessionState> &&
              std::is_trivially_copyable_v<SessionState>);

// Owns the mapping that a SessionState lies in.
class StateMapping {
 public:
  // For a layout that has passed layout_problem. Bitmaps are empty and cost memory only where they
  // are written. Throws std::system_error when there is no memory.
  StateMapping(std::span<const hot::Region> regions, const ImageIdentity& image);
  ~StateMapping();
  StateMapping(const StateMapping&) = delete;
  StateMapping(StateMapping&&) = delete;
  StateMapping& operator=(const StateMapping&) = delete;
  StateMapping& operator=(StateMapping&&) = delete;

  SessionState& state() { return *state_; }

 private:
  SessionState* state_ = nullptr;
};

// The regions and bitmaps of a SessionState, by pointers of this process.
class PageTable {
 public:
  explicit PageTable(SessionState& state);

  using RegionPages = SessionState::RegionPages;
  std::span<const RegionPages> regions() const { return regions_; }
  // The region that holds an address of the VMM, or page number `page` (which must exist).
  const RegionPages* region_of_address(uint64_t address) const;
  const RegionPages& region_of_page(uint64_t page) const;
  static uint64_t page_at(const RegionPages& in, uint64_t address) {
    return in.first_page + (address - in.region.base) / in.region.page_size;
  }
  static uint64_t end_page(const RegionPages& in) {
    return in.first_page + in.region.size / in.region.page_size;
  }
  static uint64_t address_of(const RegionPages& in, uint64_t page) {
    return in.region.base + (page - in.first_page) * in.region.page_size;
  }
  static uint64_t offset_of(const RegionPages& in, uint64_t page) {
    return in.region.offset + (page - in.first_page) * in.region.page_size;
  }

  bool removed(uint64_t page) const { return removed_.test(page); }
  bool installed(uint64_t page) const { return installed_.test(page); }
  bool poisoned(uint64_t page) const { return poisoned_.test(page); }
  // Neither installed nor removed: what prefetch and windows may touch.
  bool untouched(uint64_t page) const { return !removed(page) && !installed(page); }
  uint64_t count_installed(uint64_t first, uint64_t count) const {
    return installed_.count(first, count);
  }
  // Pages of one region.
  void mark_installed(uint64_t first, uint64_t count) {
    installed_bytes_ += installed_.set(first, count) * region_of_page(first).region.page_size;
    healed_pages_ += forget_poison(first, count);
  }
  // The kernel does not have what was installed.
  void mark_missing(uint64_t first, uint64_t count) {
    installed_bytes_ -= installed_.clear(first, count) * region_of_page(first).region.page_size;
  }
  // Marked so since this object was made, or since recount(), and not removed since.
  uint64_t installed_bytes() const { return installed_bytes_; }

  void mark_poisoned(uint64_t page) { poisoned_pages_ += poisoned_.set(page, 1); }
  uint64_t poisoned_pages() const { return poisoned_pages_; }
  // Poisoned pages that were installed since this object was made.
  uint64_t healed_pages() const { return healed_pages_; }
  // The first poisoned page from `page` on.
  std::optional<uint64_t> next_poisoned(uint64_t page) const { return poisoned_.find(page); }

  // For a table that another has filled.
  void recount();
  // The part of a VMM's address range that lies in regions, whole pages only; returns how many
  // pages were not removed before. The range comes from the kernel and may span regions.
  uint64_t mark_removed(uint64_t start, uint64_t end);

 private:
  uint64_t forget_poison(uint64_t first, uint64_t count) {
    const uint64_t forgotten = poisoned_pages_ > 0 ? poisoned_.clear(first, count) : 0;
    poisoned_pages_ -= forgotten;
    return forgotten;
  }

  std::span<const RegionPages> regions_;
  PageBitmap removed_;
  PageBitmap installed_;
  PageBitmap poisoned_;
  uint64_t installed_bytes_ = 0;
  uint64_t poisoned_pages_ = 0;
  uint64_t healed_pages_ = 0;
};

}  // namespace pager
