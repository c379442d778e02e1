#include "pager/page_filler.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "pager/clock.h"

namespace pager {
namespace {

// Most pages with data differ from zero early, and cost one comparison.
bool all_zero(const std::byte* page, uint64_t size) {
  return page[0] == std::byte{0} && std::memcmp(page, page + 1, size - 1) == 0;
}

uint64_t largest_page(std::span<const PageTable::RegionPages> regions) {
  return std::ranges::max(regions, {}, [](const auto& r) { return r.region.page_size; })
      .region.page_size;
}

}  // namespace

PageFiller::PageFiller(int uffd, PageTable& table, const Image& image, Counters& counters)
    : uffd_(uffd), table_(table), image_(image), counters_(counters) {
  // The zeros are for 2 MiB pages, which know no ZEROPAGE: copied from memory that is never
  // written.
  const uint64_t size = std::max(kMaxRunBytes, largest_page(table.regions()));
  void* memory = ::mmap(nullptr, 2 * size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    base::throw_errno("cannot get a buffer for a session");
  }
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

Run PageFiller::run_from(const PageTable::RegionPages& in, uint64_t page, uint64_t ahead,
                         uint64_t zero_block) const {
  const bool removed = table_.removed(page);
  const bool hole = !removed && is_zero(in, page);
  const auto alike = [&](uint64_t other) {
    return !table_.installed(other) && table_.removed(other) == removed &&
           (removed || is_zero(in, other) == hole);
  };
  const uint64_t most = std::max(uint64_t{1}, kMaxRunBytes / in.region.page_size);
  uint64_t low = page;
  uint64_t high = page + std::min(ahead + 1, most);
  if (hole) {
    const uint64_t block = std::min(zero_block, most);
    low = page - (page - in.first_page) % block;
    high = low + block;
  }
  high = std::min(high, PageTable::end_page(in));
  Run run{.in = &in, .first = page, .count = 1, .zero = removed || hole};
  while (run.first > low && alike(run.first - 1)) {
    --run.first;
    ++run.count;
  }
  while (run.end() < high && alike(run.end())) {
    ++run.count;
  }
  return run;
}

int PageFiller::read(const Run& run) {
  const uint64_t bytes = run.count * run.in->region.page_size;
  SNAPFORK_CHECK(bytes <= buffer_.size());
  const int error = image_.read_at(PageTable::offset_of(*run.in, run.first), buffer_.first(bytes));
  if (error == 0) {
    counters_.add(Count::bytes_read, bytes);
  } else {
    counters_.add(Count::read_errors);
  }
  return error;
}

// One segment, all of one source. The results of the calls, in the order of userfaultfd's own
// rules: a partial one goes on from where it stopped, and the next call names the reason.
Filled PageFiller::install(const Run& run, const std::byte* source, std::optional<uint64_t> wanted,
                           Wake wake, int& patience) {
  const uint64_t page_size = run.in->region.page_size;
  Filled filled;
  uint64_t page = run.first;
  const auto took = [&](uint64_t pages) {
    table_.mark_installed(page, pages);
    filled.answered = filled.answered || (wanted && *wanted >= page && *wanted - page < pages);
    filled.pages += pages;
    page += pages;
    counters_.add(source == nullptr || source == zeros_ ? Count::pages_zeroed : Count::pages_copied,
                  pages);
  };
  while (page < run.end() && filled.stop == Stop::done) {
    const uint64_t address = PageTable::address_of(*run.in, page);
    const uint64_t length = (run.end() - page) * page_size;
    const RangeResult result =
        source == nullptr
            ? uffd_zeropage(uffd_, address, length, wake)
            : uffd_copy(uffd_, address,
                        source == zeros_ ? zeros_ : source + (page - run.first) * page_size, length,
                        wake);
    counters_.add(Count::copies);
    if (result.done > 0) {
      took(result.done / page_size);
      continue;
    }
    switch (result.error) {
      case EAGAIN:
        counters_.add(Count::eagain);
        if (patience-- <= 0) {
          filled.stop = Stop::again;
        }
        break;
      case EEXIST:
        // Whoever installed it may not have woken those who wait, and this call has not either.
        uffd_wake(uffd_, address, page_size);
        if (page_size == kSmallPage) {
          table_.mark_installed(page, 1);
        }
        if (wanted == page) {
          filled.answered = true;
          filled.present_before = true;
        }
        ++page;
        break;
      case ENOMEM:
        filled.stop = Stop::no_memory;
        counters_.add(Count::out_of_memory);
        break;
      case ENOENT:
        filled.stop = Stop::gone;
        break;
      case ESRCH:
        filled.stop = Stop::over;
        break;
      default:
        filled.stop = Stop::failed;
        filled.error = result.error;
        counters_.add(Count::copy_errors);
        break;
    }
  }
  return filled;
}

Filled PageFiller::fill(const Run& run, std::optional<uint64_t> wanted, int patience) {
  const bool huge = run.in->region.page_size != kSmallPage;
  if (run.zero) {
    return install(run, huge ? zeros_ : nullptr, wanted, Wake::yes, patience);
  }
  const uint64_t read_from = wanted ? monotonic_ns() : 0;
  Filled total;
  if (const int error = read(run); error != 0) {
    return {.stop = Stop::unreadable, .error = error};
  }
  total.read_ns = wanted ? monotonic_ns() - read_from : 0;
  if (huge) {
    Filled filled = install(run, buffer_.data(), wanted, Wake::yes, patience);
    filled.read_ns = total.read_ns;
    return filled;
  }
  // Zero pages that the file stores as data are not copied. The run falls into segments; while
  // there is more than one, nobody is woken before the last: who walks through memory would only
  // fault again.
  const auto zero_at = [&](uint64_t i) {
    return all_zero(buffer_.data() + i * kSmallPage, kSmallPage);
  };
  bool woken = true;
  bool zero = zero_at(0);
  for (uint64_t start = 0; start < run.count && total.stop == Stop::done;) {
    uint64_t end = start + 1;
    bool next_zero = zero;
    while (end < run.count && (next_zero = zero_at(end)) == zero) {
      ++end;
    }
    const bool whole = start == 0 && end == run.count;
    const Run segment{.in = run.in, .first = run.first + start, .count = end - start, .zero = zero};
    const Filled part = install(segment, zero ? nullptr : buffer_.data() + start * kSmallPage,
                                wanted, whole ? Wake::yes : Wake::no, patience);
    woken = woken && whole;
    total.stop = part.stop;
    total.error = part.error;
    total.pages += part.pages;
    total.answered = total.answered || part.answered;
    total.present_before = total.present_before || part.present_before;
    start = end;
    zero = next_zero;
  }
  if (!woken) {
    uffd_wake(uffd_, PageTable::address_of(*run.in, run.first), run.count * kSmallPage);
  }
  return total;
}

}  // namespace pager
