#include "clone/data_ranges.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "base/error.h"

namespace cloning {
namespace {

// 128 extents a call: a dense file needs one, and the buffer stays on the stack.
constexpr uint32_t kExtentsPerCall = 128;
constexpr size_t kFiemapBytes =
    sizeof(struct fiemap) + kExtentsPerCall * sizeof(struct fiemap_extent);

bool is_zero(std::span<const std::byte> block) {
  return block[0] == std::byte{0} &&
         std::memcmp(block.data(), block.data() + 1, block.size() - 1) == 0;
}

}  // namespace

std::optional<Range> next_data(int fd, off_t from, off_t size, std::string_view name) {
  if (from >= size) {
    return std::nullopt;
  }
  const off_t begin = ::lseek(fd, from, SEEK_DATA);
  if (begin < 0) {
    if (errno == ENXIO) {
      return std::nullopt;
    }
    if (errno == EINVAL || errno == EOPNOTSUPP) {
      return Range{.begin = from, .end = size};
    }
    base::throw_errno("cannot look for data in " + base::quoted(name));
  }
  if (begin >= size) {
    return std::nullopt;
  }
  const off_t end = ::lseek(fd, begin, SEEK_HOLE);
  if (end < 0) {
    if (errno == ENXIO) {  // the file was cut short between the two calls; reading it will tell
      return std::nullopt;
    }
    base::throw_errno("cannot look for a hole in " + base::quoted(name));
  }
  return Range{.begin = begin, .end = std::min(end, size)};
}

std::optional<ExtentSurvey> survey_extents(int fd, off_t size, Flush flush, std::string_view name) {
  ExtentSurvey survey;
  // struct fiemap ends in an array without a length; room for it stands behind the struct.
  alignas(struct fiemap) std::array<std::byte, kFiemapBytes> buffer;
  auto* map = ::new (buffer.data()) struct fiemap;
  const auto end = static_cast<uint64_t>(size);
  bool last = false;
  for (uint64_t from = 0; from < end && !last;) {
    map->fm_start = from;
    map->fm_length = end - from;
    map->fm_flags = flush == Flush::yes ? FIEMAP_FLAG_SYNC : 0;
    map->fm_extent_count = kExtentsPerCall;
    map->fm_reserved = 0;
    if (::ioctl(fd, FS_IOC_FIEMAP, map) != 0) {
      if (errno == EOPNOTSUPP || errno == ENOTTY) {
        return std::nullopt;
      }
      base::throw_errno("cannot list the extents of " + base::quoted(name));
    }
    last = map->fm_mapped_extents == 0;
    for (const struct fiemap_extent& extent :
         std::span(&map->fm_extents[0], map->fm_mapped_extents)) {
      const auto extent_end = static_cast<uint64_t>(extent.fe_logical + extent.fe_length);
      ++survey.extents;
      if ((extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) == 0 && extent.fe_logical < end) {
        const uint64_t data_begin = std::max<uint64_t>(extent.fe_logical, from);
        survey.data_bytes += static_cast<int64_t>(std::min(extent_end, end) - data_begin);
      }
      from = std::max(from, extent_end);
      last |= (extent.fe_flags & FIEMAP_EXTENT_LAST) != 0;
    }
  }
  return survey;
}

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

}  // namespace cloning
