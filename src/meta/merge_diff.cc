#include "meta/merge_diff.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/next_data.h"
#include "meta/template_flow.h"

namespace meta {
namespace {

constexpr size_t kCopyBytes = size_t{1} << 20U;

struct stat stat_regular(const base::Fd& fd, const std::string& path) {
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) {
    base::throw_errno("cannot look at " + base::quoted(path));
  }
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot merge " + base::quoted(path) + ": it is no regular file");
  }
  return st;
}

std::vector<base::Range> data_extents(const base::Fd& fd, off_t size, const std::string& path) {
  std::vector<base::Range> extents;
  for (std::optional<base::Range> data = base::next_data(fd.get(), 0, size, path); data;
       data = base::next_data(fd.get(), data->end, size, path)) {
    extents.push_back(*data);
  }
  return extents;
}

// copy_file_range(2) as far as it goes; where these filesystems cannot do it, through memory.
void copy_extent(const base::Fd& from, const base::Fd& to, const base::Range& extent,
                 const std::string& diff, const std::string& memory) {
  off_t at = extent.begin;
  while (at < extent.end) {
    off_t in = at;
    off_t out = at;
    const ssize_t copied =
        ::copy_file_range(from.get(), &in, to.get(), &out, static_cast<size_t>(extent.end - at), 0);
    if (copied == 0 || (copied < 0 && errno != EINTR)) {
      break;
    }
    at += std::max<ssize_t>(copied, 0);
  }
  std::vector<std::byte> buffer(at < extent.end ? kCopyBytes : 0);
  while (at < extent.end) {
    const size_t wanted = std::min(buffer.size(), static_cast<size_t>(extent.end - at));
    const size_t got = base::pread_full(from.get(), std::span(buffer).first(wanted), at, diff);
    if (got == 0) {
      throw base::BadData("cannot merge " + base::quoted(diff) + ": its length changes");
    }
    base::pwrite_full(to.get(), std::span(buffer).first(got), at, memory);
    at += static_cast<off_t>(got);
  }
}

void check(const std::string& diff, const struct stat& diff_st, const std::string& memory,
           const struct stat& memory_st) {
  const std::string what = "cannot merge " + base::quoted(diff) + " into " + base::quoted(memory);
  if (diff_st.st_size != memory_st.st_size) {
    throw base::BadData(what + ": they have " + std::to_string(diff_st.st_size) + " and " +
                        std::to_string(memory_st.st_size) + " bytes; they are not of one guest");
  }
  if (memory_st.st_nlink > 1) {
    throw base::Refused(what + ": it has " + std::to_string(memory_st.st_nlink) +
                        " links, and others would see the change; merge into a copy");
  }
  if (seal_problem(memory_st, true).empty()) {
    throw base::Refused(what + ": it is sealed; merge into a copy");
  }
}

}  // namespace

MergedDiff merge_diff(const std::string& diff, const std::string& memory, Effect effect) {
  const base::Fd from = base::open_file(diff, O_RDONLY);
  const struct stat diff_st = stat_regular(from, diff);
  // Looked at before it is opened for writing: root may write into what is sealed.
  check(diff, diff_st, memory, stat_regular(base::open_file(memory, O_RDONLY), memory));
  const std::vector<base::Range> extents = data_extents(from, diff_st.st_size, diff);
  MergedDiff result{.bytes = 0, .extents = extents.size()};
  for (const base::Range& extent : extents) {
    result.bytes += static_cast<uint64_t>(extent.end - extent.begin);
  }
  if (result.bytes == static_cast<uint64_t>(diff_st.st_size)) {
    throw base::BadData("cannot merge " + base::quoted(diff) +
                        ": it has no holes, so it is a Full memory file, or a Diff that lost its "
                        "holes when it was copied; nothing would be left of the base");
  }
  if (effect == Effect::dry_run) {
    return result;
  }
  base::Fd to = base::open_file(memory, O_WRONLY);
  for (const base::Range& extent : extents) {
    copy_extent(from, to, extent, diff, memory);
  }
  base::sync_fd(to.get(), memory);
  to.close_checked(memory);
  return result;
}

}  // namespace meta
