// SPDX-License-Identifier: Apache-2.0
// Counts extents by FIEMAP, and by FS_IOC_FSGETXATTR on XFS.
#include "file/extents.h"

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

namespace file {
namespace {

// One call lists a dense file, and the buffer stays on the stack.
constexpr uint32_t kExtentsPerCall = kFewExtents;
constexpr size_t kFiemapBytes =
    sizeof(struct fiemap) + kExtentsPerCall * sizeof(struct fiemap_extent);

// Measured. XFS needs more from the second clone on, because it then changes reference counts.
constexpr int64_t kMicrosecondsPerExtentXfs = 35;
constexpr int64_t kMicrosecondsPerExtentBtrfs = 7;

// Returns false if the filesystem has no FIEMAP.
bool list_extents(int fd, struct fiemap& map, std::string_view name) {
  if (::ioctl(fd, FS_IOC_FIEMAP, &map) == 0) {
    return true;
  }
  if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == EBADR) {
    return false;
  }
  base::throw_errno("cannot list the extents of " + base::quoted(name));
}

// Adds up the results of FIEMAP, one call after the other.
class ExtentLister {
 public:
  ExtentLister(int fd, off_t size, std::string_view name)
      : fd_(fd),
        end_(static_cast<uint64_t>(size)),
        name_(name),
        map_(::new (buffer_.data()) struct fiemap) {}

  // Returns false if the filesystem has no FIEMAP.
  bool next(Flush flush) {
    map_->fm_start = from_;
    map_->fm_length = end_ - from_;
    map_->fm_flags = flush == Flush::yes ? FIEMAP_FLAG_SYNC : 0;
    map_->fm_extent_count = kExtentsPerCall;
    map_->fm_reserved = 0;
    if (!list_extents(fd_, *map_, name_)) {
      return false;
    }
    saw_last_ = map_->fm_mapped_extents == 0;
    for (const struct fiemap_extent& extent :
         std::span(&map_->fm_extents[0], map_->fm_mapped_extents)) {
      add(extent);
    }
    return true;
  }

  bool at_end() const { return saw_last_ || from_ >= end_; }
  const ExtentSurvey& survey() const { return survey_; }

 private:
  void add(const struct fiemap_extent& extent) {
    const auto extent_end = static_cast<uint64_t>(extent.fe_logical + extent.fe_length);
    ++survey_.extents;
    if (extent.fe_logical < end_) {
      const uint64_t data_begin = std::max<uint64_t>(extent.fe_logical, from_);
      const auto bytes = static_cast<int64_t>(std::min(extent_end, end_) - data_begin);
      if ((extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0) {
        survey_.preallocated_bytes += bytes;
      } else {
        survey_.data_bytes += bytes;
        survey_.shared_bytes += (extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0 ? bytes : 0;
      }
    }
    from_ = std::max(from_, extent_end);
    saw_last_ |= (extent.fe_flags & FIEMAP_EXTENT_LAST) != 0;
  }

  int fd_;
  uint64_t end_;
  std::string_view name_;
  uint64_t from_ = 0;
  bool saw_last_ = false;
  ExtentSurvey survey_;
  // struct fiemap ends in an array without a length; the space for that array follows the struct.
  alignas(struct fiemap) std::array<std::byte, kFiemapBytes> buffer_;
  struct fiemap* map_;
};

// Returns the extent count that XFS keeps with each file, at no cost; nothing on other filesystems.
std::optional<int64_t> kept_extent_count(int fd) {
  struct fsxattr attributes {};
  // Other filesystems leave the field zero.
  return ::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0 && attributes.fsx_nextents > 0
             ? std::optional<int64_t>(attributes.fsx_nextents)
             : std::nullopt;
}

}  // namespace

std::optional<ExtentSurvey> survey_extents(int fd, off_t size, Flush flush, std::string_view name) {
  ExtentLister lister(fd, size, name);
  while (!lister.at_end()) {
    if (!lister.next(flush)) {
      return std::nullopt;
    }
    flush = Flush::no;
  }
  return lister.survey();
}

std::optional<int64_t> count_extents(int fd, Flush flush, std::string_view name) {
  const bool is_kept = kept_extent_count(fd).has_value();
  struct fiemap map {};  // without space for extents, FIEMAP only counts them
  map.fm_length =
      is_kept ? 1 : FIEMAP_MAX_OFFSET;  // FIEMAP_FLAG_SYNC writes out the whole file for any range
  map.fm_flags = flush == Flush::yes ? FIEMAP_FLAG_SYNC : 0;
  if ((flush == Flush::yes || !is_kept) && !list_extents(fd, map, name)) {
    return std::nullopt;
  }
  return is_kept ? kept_extent_count(fd) : map.fm_mapped_extents;
}

int64_t clone_cost_ms(int fd, int64_t extents) {
  constexpr int64_t kMicrosecondsPerMs = 1000;
  struct statfs fs {};
  const bool is_btrfs = ::fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
  const int64_t us = extents * (is_btrfs ? kMicrosecondsPerExtentBtrfs : kMicrosecondsPerExtentXfs);
  return (us + kMicrosecondsPerMs - 1) / kMicrosecondsPerMs;
}

}  // namespace file
