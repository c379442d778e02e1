#include "clone/zero_runs.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace cloning {
namespace {

bool is_zero(std::span<const std::byte> block) {
  return block[0] == std::byte{0} &&
         std::memcmp(block.data(), block.data() + 1, block.size() - 1) == 0;
}

off_t length_of(const Range& range) {
  return range.end - range.begin;
}

bool is_before(const Range& a, const Range& b) {
  return a.begin < b.begin;
}

}  // namespace

BlockRun first_run(std::span<const std::byte> data) {
  const auto block_at = [&](size_t offset) {
    return data.subspan(offset, std::min(kHoleBlock, data.size() - offset));
  };
  BlockRun run{.length = block_at(0).size(), .zero = is_zero(block_at(0))};
  while (run.length < data.size() && is_zero(block_at(run.length)) == run.zero) {
    run.length += block_at(run.length).size();
  }
  return run;
}

void ZeroRuns::add(off_t offset, std::span<const std::byte> data) {
  std::vector<Range> found;
  int64_t zeros = 0;
  for (size_t at = 0; at < data.size();) {
    const BlockRun run = first_run(data.subspan(at));
    if (run.zero) {
      zeros += static_cast<int64_t>(run.length);
      const Range range{.begin = offset + static_cast<off_t>(at),
                        .end = offset + static_cast<off_t>(at + run.length)};
      // One that touches an end of the piece may go on in the next.
      if (length_of(range) >= kSmallestHole || at == 0 || at + run.length == data.size()) {
        found.push_back(range);
      }
    }
    at += run.length;
  }
  const std::scoped_lock lock(mutex_);
  runs_.insert(runs_.end(), found.begin(), found.end());
  zero_bytes_ += zeros;
}

std::vector<Range> ZeroRuns::holes(size_t most) {
  std::sort(runs_.begin(), runs_.end(), is_before);
  std::vector<Range> whole;
  for (const Range& run : runs_) {
    if (!whole.empty() && whole.back().end == run.begin) {
      whole.back().end = run.end;
    } else {
      whole.push_back(run);
    }
  }
  std::erase_if(whole, [](const Range& run) { return length_of(run) < kSmallestHole; });
  return longest(std::move(whole), most);
}

std::vector<Range> longest(std::vector<Range> ranges, size_t most) {
  if (ranges.size() > most) {
    std::nth_element(ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(most), ranges.end(),
                     [](const Range& a, const Range& b) { return length_of(a) > length_of(b); });
    ranges.resize(most);
    std::sort(ranges.begin(), ranges.end(), is_before);
  }
  return ranges;
}

}  // namespace cloning
