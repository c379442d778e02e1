// SPDX-License-Identifier: Apache-2.0
// Allocates session states and maintains their page bitmaps.
#include "pager/faults/session_state.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/file_status.h"
#include "base/process_identity.h"
#include "pager/faults/state_versions.h"
#include "pager/kernel/invariant.h"

namespace pager {
namespace {

std::byte* bytes_of(SessionState& state) {
  return reinterpret_cast<std::byte*>(&state);
}

std::span<uint64_t> bitmap_at(SessionState& state, uint64_t offset) {
  return {reinterpret_cast<uint64_t*>(bytes_of(state) + offset),
          PageBitmap::words_for(state.page_count)};
}

std::span<SessionState::RegionPages> regions_at(SessionState& state) {
  return {reinterpret_cast<SessionState::RegionPages*>(bytes_of(state) + state.regions_at),
          state.region_count};
}

// Where the parts are. The counters come first after the regions, because they need the largest
// alignment.
struct Layout {
  Layout(std::span<const hot::Region> regions, uint64_t text_size) : text_bytes(text_size) {
    for (const hot::Region& region : regions) {
      pages += region.size / region.page_size;
    }
    const uint64_t bitmap_bytes = PageBitmap::words_for(pages) * sizeof(uint64_t);
    counters = sizeof(SessionState) + regions.size() * sizeof(SessionState::RegionPages);
    removed = counters + sizeof(Counters);
    installed = removed + bitmap_bytes;
    poisoned = installed + bitmap_bytes;
    text = poisoned + bitmap_bytes;
    total = text + text_bytes;
  }

  void write_to(SessionState& state) const {
    state.page_count = pages;
    state.total_bytes = total;
    state.regions_at = sizeof(SessionState);
    state.removed_at = removed;
    state.installed_at = installed;
    state.poisoned_at = poisoned;
    state.counters_at = counters;
    state.text_at = text;
    state.text_bytes = text_bytes;
  }
  bool is_of(const SessionState& state) const {
    return state.page_count == pages && state.total_bytes == total &&
           state.regions_at == sizeof(SessionState) && state.removed_at == removed &&
           state.installed_at == installed && state.poisoned_at == poisoned &&
           state.counters_at == counters && state.text_at == text;
  }

  uint64_t pages = 0;
  uint64_t counters;
  uint64_t removed;
  uint64_t installed;
  uint64_t poisoned;
  uint64_t text;
  uint64_t text_bytes;
  uint64_t total;
};
static_assert(sizeof(SessionState) % alignof(Counters) == 0 &&
              sizeof(SessionState::RegionPages) % alignof(Counters) == 0 &&
              sizeof(Counters) % alignof(uint64_t) == 0);

template <size_t kBytes>
void set_text(std::array<char, kBytes>& to, std::string_view from) {
  require(from.size() < to.size(), "a text of a session's state is too long");
  *std::ranges::copy(from, to.begin()).out = '\0';
}

template <size_t kBytes>
bool is_terminated(const std::array<char, kBytes>& text) {
  return std::ranges::find(text, '\0') != text.end();
}

constexpr std::string_view kOtherBoot = "it was made before the last boot";

[[noreturn]] void refuse(const std::string& why) {
  const std::string text = "cannot use the state of a session: " + why;
  if (why == kOtherBoot) {
    throw OtherBoot(text);
  }
  throw base::BadData(text);
}

// What is wrong with a state of `size` bytes, at least sizeof(SessionState); empty: nothing.
std::string problem_of(SessionState& state, uint64_t size) {
  if (state.magic != SessionState::kMagic) {
    return "it is not a session's state";
  }
  if (const auto [oldest, newest] = state_versions();
      state.version < oldest || state.version > newest) {
    return "it has version " + std::to_string(state.version) + ", and this server reads version " +
           (oldest == newest ? "" : std::to_string(oldest) + " to ") + std::to_string(newest);
  }
  if (!is_terminated(state.boot_id) || state.boot_id.data() != base::current_boot_id()) {
    return std::string(kOtherBoot);
  }
  const uint64_t regions_end =
      sizeof(SessionState) + uint64_t{state.region_count} * sizeof(SessionState::RegionPages);
  if (regions_end > size || state.total_bytes > size) {
    return "it is truncated: it has " + std::to_string(size) + " bytes";
  }
  std::vector<hot::Region> regions;
  uint64_t first_page = 0;
  if (state.regions_at != sizeof(SessionState)) {
    return "its layout is not that of this server";
  }
  for (const SessionState::RegionPages& entry : regions_at(state)) {
    if (entry.region.page_size == 0 || entry.first_page != first_page) {
      return "its regions are damaged";
    }
    first_page += entry.region.size / entry.region.page_size;
    regions.push_back(entry.region);
  }
  if (const std::optional<std::string> problem = hot::layout_problem(regions, state.image.size)) {
    return "its regions do not fit the image: " + *problem;
  }
  const bool has_texts = is_terminated(state.id) && is_terminated(state.trace.bytes) &&
                         std::ranges::all_of(state.hot.paths, [](const PathText& path) {
                           return is_terminated(path.bytes);
                         });
  if (!Layout(regions, state.text_bytes).is_of(state) || state.total_bytes != size || !has_texts ||
      state.hot.count > SessionState::kHotLists || state.completion.next > state.page_count) {
    return "its layout is not that of its regions";
  }
  return "";
}

}  // namespace

void PathText::set(std::string_view path) {
  set_text(bytes, path);
}

uint64_t StateMapping::bytes_for(std::span<const hot::Region> regions, std::string_view text) {
  return Layout(regions, text.size()).total;
}

StateMapping::StateMapping(std::span<const hot::Region> regions, const ImageIdentity& image,
                           std::string_view text, base::Fd file)
    : file_(std::move(file)) {
  const Layout layout(regions, text.size());
  if (file_) {
    // Allocates all blocks: a write to a mapped hole of a full tmpfs would be SIGBUS.
    if (const int error = ::posix_fallocate(file_.get(), 0, static_cast<off_t>(layout.total));
        error != 0) {
      base::throw_error_number(error, "cannot allocate the state of a session");
    }
  }
  map(layout.total);
  // All other fields are 0, as the memory is. Without a file, untouched parts use no memory.
  state_->magic = SessionState::kMagic;
  state_->version = state_versions().newest;
  state_->region_count = static_cast<uint32_t>(regions.size());
  layout.write_to(*state_);
  state_->image = image;
  state_->read_attempts = kReadAttempts;
  set_text(state_->boot_id, base::current_boot_id());
  uint64_t first_page = 0;
  std::ranges::transform(regions, regions_at(*state_).begin(), [&](const hot::Region& region) {
    const SessionState::RegionPages entry{.region = region, .first_page = first_page};
    first_page += region.size / region.page_size;
    return entry;
  });
  new (bytes_of(*state_) + state_->counters_at) Counters;
  std::ranges::copy(text, reinterpret_cast<char*>(bytes_of(*state_) + state_->text_at));
}

StateMapping::StateMapping(base::Fd file) : file_(std::move(file)) {
  const struct stat st = base::stat_fd(file_.get(), "the state of a session");
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size < sizeof(SessionState)) {
    refuse("it is truncated: it has " + std::to_string(size) + " bytes");
  }
  map(size);
  if (const std::string problem = problem_of(*state_, size); !problem.empty()) {
    ::munmap(state_, bytes_);
    refuse(problem);
  }
}

void StateMapping::map(uint64_t bytes) {
  const int flags = file_ ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file_.get(), 0);
  if (memory == MAP_FAILED) {
    base::throw_errno("cannot map " + std::to_string(bytes) + " bytes for a session");
  }
  state_ = static_cast<SessionState*>(memory);
  bytes_ = bytes;
}

void StateMapping::move_to(base::Fd file, const std::function<void(int fd)>& before) {
  void* copy = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (copy == MAP_FAILED) {
    base::throw_errno("cannot map the state of a session");
  }
  std::memcpy(copy, static_cast<const void*>(state_), bytes_);
  before(file.get());
  if (::mremap(copy, bytes_, bytes_, MREMAP_MAYMOVE | MREMAP_FIXED, state_) == MAP_FAILED) {
    const int error = errno;
    ::munmap(copy, bytes_);
    base::throw_error_number(error, "cannot replace the state of a session");
  }
  file_ = std::move(file);
  pin();
}

StateMapping::~StateMapping() {
  ::munmap(state_, bytes_);
}

Counters& StateMapping::counters() {
  return *std::launder(reinterpret_cast<Counters*>(bytes_of(*state_) + state_->counters_at));
}

std::string_view StateMapping::text() const {
  return {reinterpret_cast<const char*>(bytes_of(*state_) + state_->text_at), state_->text_bytes};
}

std::vector<hot::Region> StateMapping::regions() const {
  std::vector<hot::Region> regions;
  std::ranges::transform(regions_at(*state_), std::back_inserter(regions),
                         &SessionState::RegionPages::region);
  return regions;
}

bool StateMapping::pin() {
  static_cast<void>(
      ::madvise(state_, bytes_, MADV_POPULATE_WRITE));  // Linux 5.14; else mlock loads
  return ::mlock(state_, sizeof(SessionState)) == 0 && ::mlock(state_, bytes_) == 0;
}

PageTable::PageTable(SessionState& state)
    : regions_(regions_at(state)),
      page_count_(state.page_count),
      removed_(bitmap_at(state, state.removed_at)),
      installed_(bitmap_at(state, state.installed_at)),
      poisoned_(bitmap_at(state, state.poisoned_at)),
      reading_(reinterpret_cast<std::atomic<uint64_t>*>(&state.reading)) {}

const PageTable::RegionPages* PageTable::region_of_address(uint64_t address) const {
  const auto found = std::ranges::find_if(
      regions_, [&](const RegionPages& entry) { return entry.region.contains(address); });
  return found == regions_.end() ? nullptr : &*found;
}

const PageTable::RegionPages& PageTable::region_of_page(uint64_t page) const {
  const auto next = std::ranges::upper_bound(regions_, page, {}, &RegionPages::first_page);
  require(next != regions_.begin(), "a page is outside of all regions");
  return *std::prev(next);
}

void PageTable::recount() {
  installed_bytes_ = 0;
  poisoned_pages_ = 0;
  for (const RegionPages& entry : regions_) {
    const uint64_t pages = end_page(entry) - entry.first_page;
    installed_bytes_ += installed_.count(entry.first_page, pages) * entry.region.page_size;
    poisoned_pages_ += poisoned_.count(entry.first_page, pages);
  }
}

uint64_t PageTable::mark_removed(uint64_t start, uint64_t end) {
  uint64_t newly = 0;
  for (const RegionPages& entry : regions_) {
    const hot::Region& region = entry.region;
    const uint64_t low = std::max(start, region.base);
    const uint64_t high = std::min(end, region.end());
    if (low >= high) {
      continue;
    }
    // If the guest discards a part of a 2 MiB page, the page stays. Only whole pages are removed.
    const uint64_t first = (low - region.base + region.page_size - 1) / region.page_size;
    const uint64_t last = (high - region.base) / region.page_size;
    if (first < last) {
      newly += removed_.set(entry.first_page + first, last - first);
      installed_bytes_ -=
          installed_.clear(entry.first_page + first, last - first) * region.page_size;
      forget_poison(entry.first_page + first, last - first);  // the kernel drops the marker, too
    }
  }
  return newly;
}

}  // namespace pager
