// What a file is made of on the disk: extents, what of them is shared, what is not written yet.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace cloning {

// A list of so many extents costs next to nothing.
inline constexpr int64_t kFewExtents = 128;

// More extents than this make a clone slow enough to say so: 7 ms on btrfs, 35 ms on XFS.
inline constexpr int64_t kManyExtents = 1000;

struct ExtentSurvey {
  int64_t extents = 0;
  int64_t data_bytes = 0;    // without preallocated blocks and without what lies past `size`
  int64_t shared_bytes = 0;  // of data_bytes: in blocks that another file has too
  int64_t preallocated_bytes = 0;
};
enum class Flush { no, yes };
// What FIEMAP says of a file of at most kFewExtents extents; of another one `is_all` is false and
// the rest means nothing. Flush::yes writes out the file's dirty pages first, as FICLONE does
// before it begins: done apart, the time that it takes can be told from that of the clone. One
// system call. Nothing where the filesystem has no FIEMAP (tmpfs). Throws std::system_error.
struct FewExtents {
  bool is_all = false;
  ExtentSurvey survey = {};
};
std::optional<FewExtents> list_few_extents(int fd, off_t size, Flush flush, std::string_view name);

// What FIEMAP says of the file; nothing where the filesystem does not answer it (tmpfs). Dirty data
// that has no blocks yet counts as one extent a piece: see flush_dirty. Throws std::system_error.
std::optional<ExtentSurvey> survey_extents(int fd, off_t size, std::string_view name);

// The number of extents alone: 0.7 us an extent on btrfs, where the list of a shared file costs 5
// us an extent (2 on XFS), a tenth of what FICLONE does. Nothing as above.
std::optional<int64_t> count_extents(int fd, std::string_view name);
// The number that XFS keeps with each file, at no cost; nothing elsewhere.
std::optional<int64_t> kept_extent_count(int fd);

// Writes out the file's dirty pages, as FICLONE does before it begins: done apart, the time that it
// takes can be told from that of the clone. Nothing where the filesystem does not answer FIEMAP.
// Throws std::system_error.
void flush_dirty(int fd, std::string_view name);

// What FICLONE of so many extents takes at worst on the filesystem of `fd`, in milliseconds.
int64_t clone_cost_ms(int fd, int64_t extents);

}  // namespace cloning
