// SPDX-License-Identifier: Apache-2.0
// Finds runs of zeros and selects the longest ones.
#include "file/zero_runs.h"

#include <algorithm>
#include <utility>

#include "base/is_zero.h"

namespace file {
namespace {

off_t length_of(const ByteRange& range) {
  return range.end - range.begin;
}

bool is_before(const ByteRange& a, const ByteRange& b) {
  return a.begin < b.begin;
}

}  // namespace

void ZeroRuns::add(off_t offset, std::span<const std::byte> data) {
  constexpr size_t kLong = kSmallestHole / kHoleBlock;
  const size_t blocks = (data.size() + kHoleBlock - 1) / kHoleBlock;
  const auto zero = [&](size_t block) {
    const size_t at = block * kHoleBlock;
    return base::is_zero(data.subspan(at, std::min(kHoleBlock, data.size() - at)));
  };
  std::vector<ByteRange> found;
  const auto note = [&](size_t begin, size_t end) {
    found.push_back({.begin = offset + static_cast<off_t>(begin * kHoleBlock),
                     .end = offset + static_cast<off_t>(std::min(end * kHoleBlock, data.size()))});
  };
  // A run at either end of the piece may continue in the next piece, so it counts at any length.
  size_t from = 0;  // everything before it is known
  while (from < blocks && zero(from)) {
    ++from;
  }
  if (from > 0) {
    note(0, from);
  }
  // A long run that begins at `from` or later includes the block kLong - 1 further on. In
  // scattered zeros, the search therefore reads about one block in kLong.
  for (size_t probe = from + kLong - 1; probe < blocks; probe = from + kLong - 1) {
    size_t begin = probe + 1;
    while (begin > from && zero(begin - 1)) {
      --begin;
    }
    size_t end = probe + 1;
    while (begin <= probe && end < blocks && zero(end)) {
      ++end;
    }
    if (end - begin >= kLong || (begin <= probe && end == blocks)) {
      note(begin, end);
    }
    from = end;
  }
  size_t begin = blocks;
  while (begin > from && zero(begin - 1)) {
    --begin;
  }
  if (begin < blocks) {
    note(begin, blocks);
  }
  const std::scoped_lock lock(mutex_);
  runs_.insert(runs_.end(), found.begin(), found.end());
}

std::vector<ByteRange> ZeroRuns::holes(size_t most) {
  std::sort(runs_.begin(), runs_.end(), is_before);
  std::vector<ByteRange> whole;
  for (const ByteRange& run : runs_) {
    if (!whole.empty() && whole.back().end == run.begin) {
      whole.back().end = run.end;
    } else {
      whole.push_back(run);
    }
  }
  std::erase_if(whole, [](const ByteRange& run) { return length_of(run) < kSmallestHole; });
  return longest(std::move(whole), most);
}

std::vector<ByteRange> longest(std::vector<ByteRange> ranges, size_t most) {
  if (ranges.size() > most) {
    std::nth_element(
        ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(most), ranges.end(),
        [](const ByteRange& a, const ByteRange& b) { return length_of(a) > length_of(b); });
    ranges.resize(most);
    std::sort(ranges.begin(), ranges.end(), is_before);
  }
  return ranges;
}

}  // namespace file
