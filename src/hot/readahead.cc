// SPDX-License-Identifier: Apache-2.0
// Sorts and joins hot pages, and queues reads of them by readahead(2).
#include "hot/readahead.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"

namespace hot {
namespace {

// The most that one call of readahead(2) reads on a device with default settings (read_ahead_kb);
// the kernel cuts longer requests without saying so.
constexpr uint64_t kMaxCall = uint64_t{128} * 1024;
constexpr uint64_t kFirstRegion = uint64_t{3} << 30U;

// cachestat(2), Linux 6.5. glibc 2.36 has neither the number nor the structures.
constexpr long kCachestat = 451;
struct CacheRange {
  uint64_t offset;
  uint64_t length;
};
struct CacheStat {
  uint64_t cached;
  uint64_t dirty;
  uint64_t writeback;
  uint64_t evicted;
  uint64_t recently_evicted;
};

// Whether all of a range of the file is in the page cache. false if it is not known, because the
// kernel is older.
bool is_cached(int file, const FileRange& range) {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const CacheRange asked{.offset = range.begin, .length = range.end - range.begin};
  CacheStat answer{};
  return ::syscall(kCachestat, file, &asked, &answer, 0) == 0 &&
         answer.cached >= (asked.length + page - 1) / page;
}

void read_range_ahead(int memory, const FileRange& range, const std::string& path) {
  for (uint64_t at = range.begin; at < range.end; at += kMaxCall) {
    if (::readahead(memory, static_cast<off64_t>(at), std::min(kMaxCall, range.end - at)) != 0) {
      base::throw_errno("cannot read " + base::quoted(path) + " ahead");
    }
  }
}

}  // namespace

std::vector<Region> usual_regions(uint64_t file_size, uint64_t page_size) {
  const uint64_t first = std::min(file_size, kFirstRegion);
  std::vector<Region> regions{{.base = 0, .size = first, .offset = 0, .page_size = page_size}};
  if (file_size > first) {
    regions.push_back(
        {.base = first, .size = file_size - first, .offset = first, .page_size = page_size});
  }
  return regions;
}

std::vector<FileRange> readahead_ranges(std::span<const HotPage> pages,
                                        std::span<const Region> regions) {
  std::vector<FileRange> ranges;
  ranges.reserve(pages.size());
  for (const HotPage& page : pages) {
    const Region& region = regions[page.region];
    const uint64_t begin = region.offset + page.offset;
    ranges.push_back({.begin = begin, .end = begin + region.page_size});
  }
  std::ranges::sort(ranges, {}, &FileRange::begin);
  size_t last = 0;
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].begin <= ranges[last].end + kReadaheadGap) {
      ranges[last].end = std::max(ranges[last].end, ranges[i].end);
    } else {
      ranges[++last] = ranges[i];
    }
  }
  ranges.resize(std::min(ranges.size(), last + 1));
  return ranges;
}

Readahead read_ahead(std::span<const HotPage> pages, const std::string& name, HotListLayout layout,
                     const std::string& memory_path) {
  const base::Fd memory = base::open_file(memory_path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (layout.regions.empty()) {
    const struct stat st = base::stat_fd(memory.get(), memory_path);
    layout.regions = usual_regions(static_cast<uint64_t>(st.st_size), layout.page_size);
  }
  check_hot_list_for_file(pages, name, layout, memory_path);
  Readahead done;
  const std::vector<FileRange> ranges = readahead_ranges(pages, layout.regions);
  // With a warm page cache, one call instead of one for each range.
  const bool all_cached = !ranges.empty() && is_cached(memory.get(), {.begin = ranges.front().begin,
                                                                      .end = ranges.back().end});
  for (const FileRange& range : ranges) {
    if (!all_cached) {
      read_range_ahead(memory.get(), range, memory_path);
    }
    ++done.ranges;
    done.bytes += range.end - range.begin;
  }
  return done;
}

}  // namespace hot
