#include "clone/extents.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <new>
#include <span>
#include <string>

#include "base/error.h"

namespace cloning {
namespace {

// A dense file needs one call, and the buffer stays on the stack.
constexpr uint32_t kExtentsPerCall = kFewExtents;
constexpr size_t kFiemapBytes =
    sizeof(struct fiemap) + kExtentsPerCall * sizeof(struct fiemap_extent);

// Measured; XFS wants more from the second clone on, when reference counts are changed.
constexpr int64_t kMicrosecondsPerExtentXfs = 35;
constexpr int64_t kMicrosecondsPerExtentBtrfs = 7;

// False where the filesystem has no FIEMAP.
bool list_extents(int fd, struct fiemap& map, std::string_view name) {
  if (::ioctl(fd, FS_IOC_FIEMAP, &map) == 0) {
    return true;
  }
  if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == EBADR) {
    return false;
  }
  base::throw_errno("cannot list the extents of " + base::quoted(name));
}

}  // namespace

std::optional<ExtentSurvey> survey_extents(int fd, off_t size, std::string_view name) {
  ExtentSurvey survey;
  // struct fiemap ends in an array without a length; room for it stands behind the struct.
  alignas(struct fiemap) std::array<std::byte, kFiemapBytes> buffer;
  auto* map = ::new (buffer.data()) struct fiemap;
  const auto end = static_cast<uint64_t>(size);
  bool last = false;
  for (uint64_t from = 0; from < end && !last;) {
    map->fm_start = from;
    map->fm_length = end - from;
    map->fm_flags = 0;
    map->fm_extent_count = kExtentsPerCall;
    map->fm_reserved = 0;
    if (!list_extents(fd, *map, name)) {
      return std::nullopt;
    }
    last = map->fm_mapped_extents == 0;
    for (const struct fiemap_extent& extent :
         std::span(&map->fm_extents[0], map->fm_mapped_extents)) {
      const auto extent_end = static_cast<uint64_t>(extent.fe_logical + extent.fe_length);
      ++survey.extents;
      if (extent.fe_logical < end) {
        const uint64_t data_begin = std::max<uint64_t>(extent.fe_logical, from);
        const auto bytes = static_cast<int64_t>(std::min(extent_end, end) - data_begin);
        if ((extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0) {
          survey.preallocated_bytes += bytes;
        } else {
          survey.data_bytes += bytes;
          survey.shared_bytes += (extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0 ? bytes : 0;
        }
      }
      from = std::max(from, extent_end);
      last |= (extent.fe_flags & FIEMAP_EXTENT_LAST) != 0;
    }
  }
  return survey;
}

std::optional<int64_t> count_extents(int fd, std::string_view name) {
  if (const std::optional<int64_t> kept = kept_extent_count(fd)) {
    return kept;
  }
  struct fiemap map {};  // with room for no extent: they are only counted
  map.fm_length = FIEMAP_MAX_OFFSET;
  return list_extents(fd, map, name) ? std::optional<int64_t>(map.fm_mapped_extents) : std::nullopt;
}

std::optional<int64_t> kept_extent_count(int fd) {
  struct fsxattr attributes {};
  // Others leave the field zero.
  return ::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0 && attributes.fsx_nextents > 0
             ? std::optional<int64_t>(attributes.fsx_nextents)
             : std::nullopt;
}

void flush_dirty(int fd, std::string_view name) {
  struct fiemap map {};
  map.fm_length = 1;  // all of the file is written out, whatever range is asked for
  map.fm_flags = FIEMAP_FLAG_SYNC;
  static_cast<void>(list_extents(fd, map, name));
}

int64_t clone_cost_ms(int fd, int64_t extents) {
  constexpr int64_t kMicrosecondsPerMs = 1000;
  struct statfs fs {};
  const bool is_btrfs = ::fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
  const int64_t us = extents * (is_btrfs ? kMicrosecondsPerExtentBtrfs : kMicrosecondsPerExtentXfs);
  return (us + kMicrosecondsPerMs - 1) / kMicrosecondsPerMs;
}

}  // namespace cloning
