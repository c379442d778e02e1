// SPDX-License-Identifier: Apache-2.0
// Reads /proc/PID/maps and pagemap of a VMM, guarded against reuse of its pid.
#include "pager/faults/pagemap.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "base/number.h"
#include "base/process.h"
#include "hot/region.h"
#include "pager/kernel/features.h"
#include "pager/kernel/kernel_abi.h"

namespace pager {

std::optional<bool> maps_regions(const Vmm& vmm, std::span<const hot::Region> regions) {
  if (vmm.pid() <= 0) {
    return std::nullopt;
  }
  std::ifstream maps("/proc/" + std::to_string(vmm.pid()) + "/maps");
  std::vector<AddressRange> mapped;  // in order; adjacent mappings are joined
  for (std::string line; std::getline(maps, line);) {
    constexpr int kHexadecimal = 16;
    std::string_view rest = line;
    const auto start = base::take_number<uint64_t>(rest, kHexadecimal);
    rest.remove_prefix(std::min<size_t>(rest.size(), 1));  // "-"
    const auto end = base::take_number<uint64_t>(rest, kHexadecimal);
    if (!start || !end) {
      return std::nullopt;
    }
    if (!mapped.empty() && mapped.back().end == *start) {
      mapped.back().end = *end;
    } else {
      mapped.push_back({.start = *start, .end = *end});
    }
  }
  // A process that has ended has no maps, and its pid may have been reused.
  if (mapped.empty() || base::process_start_time(vmm.pid()).value_or(0) != vmm.start_time()) {
    return std::nullopt;
  }
  return std::ranges::all_of(regions, [&](const hot::Region& region) {
    return std::ranges::any_of(mapped, [&](const AddressRange& range) {
      return range.start <= region.base && region.end() <= range.end;
    });
  });
}

std::optional<Pagemap> Pagemap::open(const Vmm& vmm) {
  if (vmm.pid() <= 0) {
    return std::nullopt;
  }
  base::Fd fd(
      ::open(("/proc/" + std::to_string(vmm.pid()) + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  // The open file pins the process, so the pid can only have been reused before the open.
  if (!fd || base::process_start_time(vmm.pid()).value_or(0) != vmm.start_time()) {
    return std::nullopt;
  }
  return Pagemap(std::move(fd));
}

std::optional<std::vector<AddressRange>> Pagemap::missing(uint64_t start, uint64_t end) const {
  std::optional<std::vector<AddressRange>> present;
  if (features().has(Feature::pagemap_scan)) {
    present = scan(start, end);
  }
  if (!present) {
    present = read(start, end);
  }
  if (!present) {
    return std::nullopt;
  }
  // PAGEMAP_SCAN does not report unmapped ranges. They are missing, too.
  std::vector<AddressRange> missing;
  uint64_t at = start;
  present->push_back({.start = end, .end = end});
  for (const AddressRange& range : *present) {
    if (range.start > at) {
      missing.push_back({.start = at, .end = range.start});
    }
    at = std::max(at, range.end);
  }
  return missing;
}

std::optional<std::vector<AddressRange>> Pagemap::scan(uint64_t start, uint64_t end) const {
  constexpr uint64_t kPresent = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
  std::vector<AddressRange> present;
  std::array<struct page_region, 512> found{};
  while (start < end) {
    struct pm_scan_arg arg {};
    arg.size = sizeof arg;
    arg.start = start;
    arg.end = end;
    arg.vec = reinterpret_cast<uintptr_t>(found.data());
    arg.vec_len = found.size();
    arg.category_anyof_mask = kPresent;
    arg.return_mask = kPresent;
    const int count = ::ioctl(pagemap_.get(), PAGEMAP_SCAN, &arg);
    if (count < 0 || arg.walk_end <= start) {
      return std::nullopt;
    }
    std::transform(found.begin(), found.begin() + count, std::back_inserter(present),
                   [](const struct page_region& region) {
                     return AddressRange{.start = region.start, .end = region.end};
                   });
    start = arg.walk_end;
  }
  return present;
}

// The pagemap has one word for each 4 KiB, for any page size
// (Documentation/admin-guide/mm/pagemap.rst).
std::optional<std::vector<AddressRange>> Pagemap::read(uint64_t start, uint64_t end) const {
  constexpr uint64_t kPresent = uint64_t{3} << 62U;  // present, swapped
  std::vector<AddressRange> present;
  std::vector<uint64_t> words(size_t{64} << 10U);
  for (uint64_t at = start; at < end;) {
    const size_t wanted = std::min<uint64_t>(words.size(), (end - at) / hot::kSmallPage);
    const ssize_t bytes = ::pread(pagemap_.get(), words.data(), wanted * sizeof(uint64_t),
                                  static_cast<off_t>(at / hot::kSmallPage * sizeof(uint64_t)));
    if (bytes < static_cast<ssize_t>(sizeof(uint64_t))) {
      return std::nullopt;
    }
    for (size_t i = 0; i < static_cast<size_t>(bytes) / sizeof(uint64_t);
         ++i, at += hot::kSmallPage) {
      if ((words[i] & kPresent) == 0) {
        continue;
      }
      if (present.empty() || present.back().end != at) {
        present.push_back({.start = at, .end = at});
      }
      present.back().end += hot::kSmallPage;
    }
  }
  return present;
}

}  // namespace pager
