// SPDX-License-Identifier: Apache-2.0
// Everything that a page server needs to continue serving a VMM, in one plain structure.
#pragma once

#include <linux/userfaultfd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "hot/region.h"
#include "pager/faults/counters.h"
#include "pager/faults/page_bitmap.h"
#include "pager/image/image.h"

namespace pager {

// What the server does if a page of the image cannot be read.
enum class OnFailure : uint32_t {
  poison,  // a touch raises SIGBUS in the VMM; without UFFDIO_POISON: kill
  kill,    // kill the VMM
};

// The number of attempts to read a page, over 21 ms, before it counts as unreadable.
inline constexpr uint32_t kReadAttempts = 4;
inline constexpr uint32_t kMostReadAttempts = 1000;

// The progress of a completion (Completer).
enum class CompletionStage : uint32_t {
  none,        // not requested, or failed
  filling,     // missing pages are installed
  confirming,  // without a pagemap: each page is copied again and must be EEXIST
  detached,    // the memory is unregistered
};

// The path of a file that was opened.
struct PathText {
  static constexpr size_t kBytes = 4096;  // PATH_MAX
  std::array<char, kBytes> bytes;

  void set(std::string_view path);
  std::string_view view() const { return bytes.data(); }
};

// One memory mapping: this structure, then the regions, three bitmaps, the counters and a text, at
// the offsets below. It contains no pointers, so that another process can map it at another
// address. With the userfaultfd, a descriptor of the image and one of the VMM, a successor can
// continue after the death of the serving thread. The successor
//   1. checks the whole layout, version, boot and image identity (StateMapping), and opens the hot
//      lists again;
//   2. marks the REMOVEs in `events` as removed: they were read, but maybe not marked;
//   3. wakes all ranges: faults that were read and not answered are raised again;
//   4. serves, and continues the hot list and the completion where they stopped.
// FaultLoop::take_over does 2 and 3. Everything else is idempotent. Pages are numbered
// consecutively through all regions.
struct SessionState {
  static constexpr std::array<char, 8> kMagic{'S', 'F', 'S', 'E', 'S', 'S', 'I', 'O'};
  static constexpr uint32_t kVersion = 7;  // StateVersions
  static constexpr size_t kEvents = 64;
  static constexpr size_t kHotLists = 4;
  static constexpr size_t kBootIdBytes = 40;  // 36 characters and zeros
  static constexpr size_t kIdBytes = 256;

  struct RegionPages {
    hot::Region region;
    uint64_t first_page;  // number of the region's first page
  };
  // The part of Completer.
  struct CompletionProgress {
    CompletionStage stage;
    uint32_t rounds;  // passes after which the kernel still lacked pages
    uint64_t rate;    // bytes a second; 0: no limit
    uint64_t next;    // page: all pages before it were examined
  };
  // The part of HotInstaller: the list that was started last, and the lists after it.
  struct HotLists {
    uint32_t count;
    uint64_t next;  // the first entry of the first list that may not be installed
    std::array<PathText, kHotLists> paths;
  };

  // The part of WindowCredit.
  struct WindowBytes {
    uint64_t asked;
    uint64_t installed;
    uint32_t factor;  // Window::factor
  };

  std::array<char, 8> magic;
  uint32_t version;
  uint32_t region_count;
  // The keeper reads these two. They are written with atomic stores.
  uint64_t heartbeat;  // rounds of the fault loop; nothing else advances it
  uint64_t reading;    // 1: the thread waits for the image
  uint64_t page_count;
  uint64_t total_bytes;  // of the whole mapping
  // Offsets in bytes from the start of this structure.
  uint64_t regions_at;    // RegionPages[region_count]
  uint64_t removed_at;    // bitmap: removed by the VMM; reads as zeros from then on
  uint64_t installed_at;  // bitmap: installed, and not removed since
  uint64_t poisoned_at;   // bitmap: poisoned, and neither installed nor removed since
  uint64_t counters_at;   // Counters
  uint64_t text_at;       // text_bytes bytes, which the creator chooses; they do not change
  uint64_t text_bytes;
  std::array<char, kBootIdBytes> boot_id;
  ImageIdentity image;
  int32_t vmm_pid;  // 0: not known
  OnFailure on_failure;
  uint64_t vmm_start_time;  // clock ticks after boot (base::process_start_time); 0: not known
  uint32_t read_attempts;
  uint32_t window_pages;  // Window::setting
  WindowBytes window_bytes;
  uint32_t paused;  // 1: hot lists and completions stop until one is requested
  CompletionProgress completion;
  HotLists hot;
  PathText trace;                     // empty: none; "-": standard output
  std::array<char, kIdBytes> id;      // of the session; zero-terminated
  uint32_t closing;                   // 1: closed by a client; served until the VMM ends
  std::array<uint64_t, 64> reserved;  // 0
  // The buffer for messages. `event` is 0 in all messages but those of the last read.
  std::array<uffd_msg, kEvents> events;
};
static_assert(std::is_standard_layout_v<SessionState> &&
              std::is_trivially_copyable_v<SessionState>);

// A state that was made before the last boot.
class OtherBoot : public base::BadData {
 public:
  using base::BadData::BadData;
};

// Owns the mapping of a SessionState.
class StateMapping {
 public:
  // The size of a new state.
  static uint64_t bytes_for(std::span<const hot::Region> regions, std::string_view text);
  // Creates a state. The regions must have passed layout_problem. Without a `file` the memory is
  // private. A `file` must be empty and on tmpfs; it gets all its memory now. Throws
  // std::system_error if memory is not available.
  StateMapping(std::span<const hot::Region> regions, const ImageIdentity& image,
               std::string_view text = {}, base::Fd file = {});
  // Maps the state that another process left in `file`. Throws base::BadData that names the
  // problem: truncated, another version, a layout that is not that of the regions; OtherBoot.
  explicit StateMapping(base::Fd file);
  ~StateMapping();
  StateMapping(const StateMapping&) = delete;
  StateMapping(StateMapping&&) = delete;
  StateMapping& operator=(const StateMapping&) = delete;
  StateMapping& operator=(StateMapping&&) = delete;

  SessionState& state() { return *state_; }
  Counters& counters();
  std::string_view text() const;
  std::vector<hot::Region> regions() const;
  // Continues in another file of the same size, at the same address: copies the state, calls
  // `before` with the descriptor, and replaces the mapping. A server that takes over from either
  // file in between finds the same. No other thread may write to the state. Throws
  // std::system_error.
  void move_to(base::Fd file, const std::function<void(int fd)>& before);
  // -1 if the memory is private.
  int file() const { return file_.get(); }

  // Loads the whole state into memory, so that no access to it waits, and locks the structure and
  // its buffer of messages: the kernel writes a message that it has dequeued into that buffer, and
  // would lose it if it could not. Returns false if RLIMIT_MEMLOCK does not permit to lock the
  // bitmaps, too.
  bool pin();

 private:
  void map(uint64_t bytes);

  base::Fd file_;
  SessionState* state_ = nullptr;
  uint64_t bytes_ = 0;
};

// Access to the regions and bitmaps of a SessionState, with pointers of this process.
class PageTable {
 public:
  explicit PageTable(SessionState& state);

  using RegionPages = SessionState::RegionPages;
  std::span<const RegionPages> regions() const { return regions_; }
  // Of all regions.
  uint64_t page_count() const { return page_count_; }
  // The region that contains an address of the VMM, or nullptr.
  const RegionPages* region_of_address(uint64_t address) const;
  // The region of a page, which must exist.
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
  // Neither installed nor removed: prefetch and windows may install it.
  bool untouched(uint64_t page) const { return !removed(page) && !installed(page); }
  uint64_t count_installed(uint64_t first, uint64_t count) const {
    return installed_.count(first, count);
  }
  // The pages must be in one region.
  void mark_installed(uint64_t first, uint64_t count) {
    installed_bytes_ += installed_.set(first, count) * region_of_page(first).region.page_size;
    healed_pages_ += forget_poison(first, count);
  }
  // The kernel does not have these pages, although they were installed.
  void mark_missing(uint64_t first, uint64_t count) {
    installed_bytes_ -= installed_.clear(first, count) * region_of_page(first).region.page_size;
  }
  // Installed since this object was created, or since recount(), and not removed since.
  uint64_t installed_bytes() const { return installed_bytes_; }

  // Around each access to the image, which may wait for a disk.
  void set_reading(bool reading) { reading_->store(reading ? 1 : 0, std::memory_order_relaxed); }

  void mark_poisoned(uint64_t page) { poisoned_pages_ += poisoned_.set(page, 1); }
  uint64_t poisoned_pages() const { return poisoned_pages_; }
  // Poisoned pages that were installed since this object was created.
  uint64_t healed_pages() const { return healed_pages_; }
  // The first poisoned page at or after `page`.
  std::optional<uint64_t> next_poisoned(uint64_t page) const { return poisoned_.find(page); }

  // Counts the pages of a state that another process has filled.
  void recount();
  // Marks the whole pages of an address range of the VMM that lie in regions. Returns how many of
  // them were not removed before. The range comes from the kernel and may span regions.
  uint64_t mark_removed(uint64_t start, uint64_t end);

 private:
  uint64_t forget_poison(uint64_t first, uint64_t count) {
    const uint64_t forgotten = poisoned_pages_ > 0 ? poisoned_.clear(first, count) : 0;
    poisoned_pages_ -= forgotten;
    return forgotten;
  }

  std::span<const RegionPages> regions_;
  uint64_t page_count_;
  PageBitmap removed_;
  PageBitmap installed_;
  PageBitmap poisoned_;
  std::atomic<uint64_t>* reading_;
  uint64_t installed_bytes_ = 0;
  uint64_t poisoned_pages_ = 0;
  uint64_t healed_pages_ = 0;
};

}  // namespace pager
