// SPDX-License-Identifier: Apache-2.0
// Chooses the source of each page, joins pages into runs, and interprets the results of the ioctls.
#include "pager/faults/page_filler.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.h"
#include "base/is_zero.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/guarded_read.h"
#include "pager/kernel/invariant.h"

namespace pager {
namespace {

// A demand fault for fewer pages than this reads the file, unless all of them are mapped
// (MappedPages).
constexpr size_t kMappedFrom = 4;

uint64_t largest_page(std::span<const PageTable::RegionPages> regions) {
  return std::ranges::max(regions, {}, [](const auto& r) { return r.region.page_size; })
      .region.page_size;
}

}  // namespace

PageFiller::PageFiller(int uffd, PageTable& table, const Image& image, Counters& counters)
    : uffd_(uffd), table_(table), image_(image), counters_(counters) {
  // 2 MiB pages do not support ZEROPAGE. Their zeros are copied from memory that is never written.
  const uint64_t size = std::max(kMaxBytes, largest_page(table.regions()));
  void* memory = ::mmap(nullptr, 2 * size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    base::throw_errno("cannot allocate the buffer of a session");
  }
  ::madvise(memory, 2 * size, MADV_DONTDUMP);  // keeps guest memory out of core dumps
  buffer_ = {static_cast<std::byte*>(memory), size};
  zeros_ = buffer_.data() + size;
}

PageFiller::~PageFiller() {
  ::munmap(buffer_.data(), 2 * buffer_.size());
}

bool PageFiller::is_zero(const PageTable::RegionPages& in, uint64_t page) const {
  if (table_.removed(page)) {
    return true;
  }
  const uint64_t offset = PageTable::offset_of(in, page);
  return !image_.data().has_data(offset, offset + in.region.page_size);
}

Filled PageFiller::fill(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
                        std::optional<uint64_t> wanted, int retries) {
  if (wanted && pages.size() == 1 && in.region.page_size == hot::kSmallPage) {
    return fill_one(in, *wanted, retries);
  }
  choose_sources(in, pages, wanted.has_value());
  make_runs(in, pages);
  // If there is more than one run, threads are woken only after the last. A thread that walks
  // through memory would otherwise fault again at once.
  const bool together = wanted && runs_.size() > 1;
  Task task{.wanted = wanted, .retries = retries, .wake = together ? Wake::no : Wake::yes};
  Filled total;
  for (const Run& run : runs_) {
    if (total.stop != Stop::done) {
      break;
    }
    fill_run(run, task, total);
  }
  if (wanted && task.wake == Wake::no) {
    const uint64_t count = pages.back() - pages.front() + 1;
    uffd_wake(uffd_, PageTable::address_of(in, pages.front()), count * in.region.page_size);
  }
  return total;
}

// The same for the page of most faults, without the lists of sources and runs.
Filled PageFiller::fill_one(const PageTable::RegionPages& in, uint64_t page, int retries) {
  Run run{.in = &in, .first = page, .count = 1, .source = Source::zeros};
  if (!is_zero(in, page)) {
    const uint64_t offset = PageTable::offset_of(in, page);
    run.source =
        image_.mapped_pages().has(offset) && is_mapped_data(offset) ? Source::mapped : Source::read;
  }
  Task task{.wanted = page, .retries = retries, .wake = Wake::yes};
  Filled total;
  fill_run(run, task, total);
  return total;
}

// Whether a page of the mapping is known not to be zero.
bool PageFiller::is_mapped_data(uint64_t offset) const {
  if (image_.data_is_nonzero()) {
    return true;
  }
  const std::array page{image_.mapped().data() + offset};
  std::array<uint64_t, 1> word{};
  table_.set_reading(true);  // the kernel may have dropped the page since it was mapped
  const bool fetched = fetch_words(page, word);
  table_.set_reading(false);
  return fetched && word[0] != 0;
}

bool PageFiller::from_mapping(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
                              bool demand) const {
  if (image_.mapped().empty()) {
    return false;
  }
  return !demand || pages.size() >= kMappedFrom || in.region.page_size != hot::kSmallPage ||
         std::ranges::all_of(pages, [&](uint64_t page) {
           return image_.mapped_pages().has(PageTable::offset_of(in, page));
         });
}

void PageFiller::choose_sources(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
                                bool demand) {
  const bool huge = in.region.page_size != hot::kSmallPage;
  const bool map = from_mapping(in, pages, demand);
  bool any_mapped = false;
  sources_.clear();
  for (const uint64_t page : pages) {
    const bool zero = is_zero(in, page);
    sources_.push_back(zero ? Source::zeros : map ? Source::mapped : Source::read);
    any_mapped = any_mapped || (map && !zero);
  }
  // A 2 MiB page uses the same memory whatever it contains, so it is not checked for zeros.
  if (any_mapped && !huge && !image_.data_is_nonzero()) {
    find_mapped_zeros(in, pages);
  }
}

// Finds zero pages that the file stores as data; they are not copied. The first word of nearly all
// other pages is not 0. The rest is read and compared.
void PageFiller::find_mapped_zeros(const PageTable::RegionPages& in,
                                   std::span<const uint64_t> pages) {
  std::array<const std::byte*, kMaxBytes / hot::kSmallPage> addresses{};
  std::array<uint64_t, addresses.size()> words{};
  size_t count = 0;
  for (size_t i = 0; i < pages.size(); ++i) {
    if (sources_[i] == Source::mapped) {
      require(count < addresses.size(), "more pages than a call may fill");
      addresses[count++] = image_.mapped().data() + PageTable::offset_of(in, pages[i]);
    }
  }
  table_.set_reading(true);
  const bool fetched = fetch_words(std::span(addresses).first(count), words);
  table_.set_reading(false);
  size_t at = 0;
  for (Source& source : sources_) {
    if (source == Source::mapped && (words[at++] == 0 || !fetched)) {
      source = Source::read;  // the read also returns the errno
    }
  }
}

void PageFiller::make_runs(const PageTable::RegionPages& in, std::span<const uint64_t> pages) {
  runs_.clear();
  for (size_t i = 0; i < pages.size(); ++i) {
    if (runs_.empty() || runs_.back().end() != pages[i] || runs_.back().source != sources_[i]) {
      runs_.push_back({.in = &in, .first = pages[i], .count = 0, .source = sources_[i]});
    }
    ++runs_.back().count;
  }
}

void PageFiller::fill_run(const Run& run, Task& task, Filled& total) {
  switch (run.source) {
    case Source::zeros:
      install(run, run.in->region.page_size == hot::kSmallPage ? nullptr : zeros_, task, total);
      break;
    case Source::mapped:
      table_.set_reading(true);
      if (run.count > 1) {
        image_.fetch(PageTable::offset_of(*run.in, run.first), run.bytes());
      }
      install(run, image_.mapped().data() + PageTable::offset_of(*run.in, run.first), task, total);
      table_.set_reading(false);
      image_.used_mapping(run.bytes());
      if (total.stop == Stop::unreadable) {
        // EFAULT does not identify the page or the reason. A read returns both.
        total.stop = Stop::done;
        fill_read(run, task, total);
      } else {
        counters_.add(Count::bytes_read, run.bytes());
        if (total.stop == Stop::done) {
          image_.mapped_pages().note(PageTable::offset_of(*run.in, run.first), run.bytes());
        }
      }
      break;
    case Source::read:
      fill_read(run, task, total);
      break;
  }
}

void PageFiller::fill_read(const Run& run, Task& task, Filled& total) {
  if (const int error = read(run); error != 0) {
    total.stop = Stop::unreadable;
    total.error = error;
    return;
  }
  total.read_until_ns = task.wanted ? monotonic_ns() : 0;
  const uint64_t page_size = run.in->region.page_size;
  if (page_size != hot::kSmallPage) {
    install(run, buffer_.data(), task, total);
    return;
  }
  if (task.wanted) {
    image_.mapped_pages().want(PageTable::offset_of(*run.in, run.first));
  }
  // Zero pages that the file stores as data are not copied.
  const auto zero_at = [&](uint64_t i) {
    return base::is_zero({buffer_.data() + i * hot::kSmallPage, hot::kSmallPage});
  };
  bool zero = zero_at(0);
  for (uint64_t start = 0; start < run.count && total.stop == Stop::done;) {
    uint64_t end = start + 1;
    bool next_zero = zero;
    while (end < run.count && (next_zero = zero_at(end)) == zero) {
      ++end;
    }
    if (task.wanted && end - start < run.count) {
      task.wake = Wake::no;
    }
    const Run part{.in = run.in, .first = run.first + start, .count = end - start};
    install(part, zero ? nullptr : buffer_.data() + start * hot::kSmallPage, task, total);
    start = end;
    zero = next_zero;
  }
}

Stop PageFiller::prefetch_from(const PageTable::RegionPages& in, std::span<const uint64_t> pages,
                               std::span<const std::byte* const> contents) {
  const uint64_t page_size = in.region.page_size;
  const bool small = page_size == hot::kSmallPage;
  const std::byte* const zeros = small ? nullptr : zeros_;
  const auto source_of = [&](size_t i) {
    const bool zero =
        is_zero(in, pages[i]) || (small && base::is_zero({contents[i], hot::kSmallPage}));
    return zero ? zeros : contents[i];
  };
  Task task{.wanted = std::nullopt, .retries = 0, .wake = Wake::yes};
  Filled total;
  for (size_t i = 0; i < pages.size() && total.stop == Stop::done;) {
    const std::byte* const source = source_of(i);
    const uint64_t step = source == zeros ? 0 : page_size;
    uint64_t count = 1;
    while (i + count < pages.size() && pages[i + count] == pages[i] + count &&
           source_of(i + count) == source + count * step) {
      ++count;
    }
    install({.in = &in, .first = pages[i], .count = count}, source, task, total);
    i += count;
  }
  return total.stop;
}

int PageFiller::read(const Run& run) {
  require(run.bytes() <= buffer_.size(), "a run larger than the buffer");
  table_.set_reading(true);
  const int error =
      image_.read_at(PageTable::offset_of(*run.in, run.first), buffer_.first(run.bytes()));
  table_.set_reading(false);
  if (error == 0) {
    counters_.add(Count::bytes_read, run.bytes());
  } else {
    counters_.add(Count::read_errors);
  }
  return error;
}

// If a thread removes page after page, calls succeed only from the read of one removal until the
// next removal begins. Once that removal can be read, another attempt fails as well.
bool PageFiller::may_repeat(Task& task) const {
  constexpr int kTriesPerLook = 8;
  if (task.retries <= 0) {
    return false;
  }
  --task.retries;
  return task.retries % kTriesPerLook != 0 || !uffd_readable(uffd_);
}

// Installs one run. A partial result continues where the call stopped, and the next call returns
// the reason. Without a source the call is ZEROPAGE.
void PageFiller::install(const Run& run, const std::byte* source, Task& task, Filled& total) {
  const uint64_t page_size = run.in->region.page_size;
  const Count kind =
      source == nullptr || source == zeros_ ? Count::pages_zeroed : Count::pages_copied;
  uint64_t page = run.first;
  // ZEROPAGE returns EEXIST for a present page and for a page with a marker (poison, uffd-wp,
  // guard). COPY replaces a marker, so its EEXIST means that the page is present.
  std::optional<uint64_t> marker_at;
  while (page < run.end() && total.stop == Stop::done) {
    const RangeResult result =
        marker_at == page
            ? uffd_copy(uffd_, PageTable::address_of(*run.in, page), zeros_, page_size, task.wake)
            : call(run, source, page, task.wake);
    counters_.add(Count::copies);
    if (result.done > 0) {
      const uint64_t pages = result.done / page_size;
      table_.mark_installed(page, pages);
      total.answered =
          total.answered || (task.wanted && *task.wanted >= page && *task.wanted - page < pages);
      counters_.add(kind, pages);
      page += pages;
    } else if (result.error == EEXIST && source == nullptr && marker_at != page) {
      marker_at = page;
    } else if (result.error == EEXIST) {
      note_present(run, page, task, total);
      ++page;
    } else {
      note_failure(result.error, task, total);
    }
  }
}

// Installs from `page` to the end of the run.
RangeResult PageFiller::call(const Run& run, const std::byte* source, uint64_t page,
                             Wake wake) const {
  const uint64_t page_size = run.in->region.page_size;
  const uint64_t address = PageTable::address_of(*run.in, page);
  const uint64_t length = (run.end() - page) * page_size;
  if (source == nullptr) {
    return uffd_zeropage(uffd_, address, length, wake);
  }
  const std::byte* from = source == zeros_ ? source : source + (page - run.first) * page_size;
  return uffd_copy(uffd_, address, from, length, wake);
}

// The installer of a page that is present may not have woken the waiting threads, and the call that
// found it has not either.
void PageFiller::note_present(const Run& run, uint64_t page, const Task& task, Filled& total) {
  const uint64_t page_size = run.in->region.page_size;
  uffd_wake(uffd_, PageTable::address_of(*run.in, page), page_size);
  if (page_size == hot::kSmallPage) {
    table_.mark_installed(page, 1);
  }
  if (task.wanted == page) {
    total.answered = true;
    total.present_before = true;
  }
}

// Sets why the call stopped, unless it is to be repeated.
void PageFiller::note_failure(int error, Task& task, Filled& total) {
  switch (error) {
    case EAGAIN:
      counters_.add(Count::eagain);
      if (!may_repeat(task)) {
        total.stop = Stop::again;
      }
      break;
    case ENOMEM:
      total.stop = Stop::no_memory;
      break;
    case ENOENT:
      total.stop = Stop::gone;
      break;
    case ESRCH:
      total.stop = Stop::over;
      break;
    case EFAULT:
      total.stop = Stop::unreadable;
      total.error = EFAULT;
      break;
    default:
      total.stop = Stop::failed;
      total.error = error;
      counters_.add(Count::copy_errors);
      break;
  }
}

}  // namespace pager
