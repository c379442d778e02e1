// SPDX-License-Identifier: Apache-2.0
// Compares the data of two files by several threads.
#include "clone/verify.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "file/data_ranges.h"

namespace cloning {
namespace {

// Returns the ranges in which either file has data.
file::NextRange data_of_both(int src, int dst, off_t size, const std::string& src_path,
                             const std::string& dst_path) {
  return [=](off_t from) -> std::optional<file::ByteRange> {
    const std::optional<file::ByteRange> a = file::next_data(src, from, size, src_path);
    const std::optional<file::ByteRange> b = file::next_data(dst, from, size, dst_path);
    if (!a || !b) {
      return a ? a : b;
    }
    const file::ByteRange& first = a->begin <= b->begin ? *a : *b;
    const file::ByteRange& second = a->begin <= b->begin ? *b : *a;
    return second.begin > first.end
               ? first
               : file::ByteRange{.begin = first.begin, .end = std::max(first.end, second.end)};
  };
}

}  // namespace

void require_same(int src, int dst, off_t size, int jobs, Progress& progress,
                  const std::string& src_path, const std::string& dst_path) {
  const auto throw_differs = [&](const std::string& where) {
    throw base::Refused("cannot verify " + base::quoted(dst_path) + ": it differs from " +
                        base::quoted(src_path) + where +
                        "; a process writes to the source, or the device fails");
  };
  const struct stat st = base::stat_fd(dst, dst_path);
  if (st.st_size != size) {
    throw_differs(" in length");
  }
  // Once its pages are dropped from the cache, the clone is read from the disk.
  progress.flush();
  base::sync_fd(dst, dst_path);
  static_cast<void>(::posix_fadvise(dst, 0, 0, POSIX_FADV_DONTNEED));
  progress.begin(dst_path, size);
  const file::NextRange both = data_of_both(src, dst, size, src_path, dst_path);
  file::read_pieces(src, both, size, jobs, src_path,
                    [&](off_t at, std::span<const std::byte> data) {
                      thread_local std::vector<std::byte> buffer;
                      buffer.resize(data.size());
                      if (base::pread_full(dst, buffer, at, dst_path) != data.size() ||
                          std::memcmp(buffer.data(), data.data(), data.size()) != 0) {
                        throw_differs(" near byte " + std::to_string(at));
                      }
                      progress.add(static_cast<int64_t>(data.size()));
                    });
}

}  // namespace cloning
