// SPDX-License-Identifier: Apache-2.0
// Compares size and data ranges of a clone with those of its source.
#include "clone/shares_all.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/is_zero.h"
#include "file/data_ranges.h"
#include "file/zero_runs.h"

namespace cloning {
namespace {

bool has_data(const SourceFile& src, off_t begin, off_t end) {
  std::vector<std::byte> piece(static_cast<size_t>(std::min(file::kPiece, end - begin)));
  for (off_t at = begin; at < end; at += static_cast<off_t>(piece.size())) {
    const auto length = std::min(piece.size(), static_cast<size_t>(end - at));
    const size_t got = base::pread_full(src.fd.get(), std::span(piece).first(length), at, src.path);
    if (got > 0 && !base::is_zero(std::span(piece).first(got))) {
      return true;
    }
  }
  return false;
}

// Returns the first byte of data in the source that is a hole in the clone.
std::optional<off_t> first_missing(const SourceFile& src, int made, off_t size) {
  for (std::optional<file::ByteRange> data = file::next_data(src.fd.get(), 0, size, src.path); data;
       data = file::next_data(src.fd.get(), data->end, size, src.path)) {
    for (off_t at = data->begin; at < data->end;) {
      const std::optional<file::ByteRange> shared = file::next_data(made, at, size, src.path);
      const off_t hole_end = shared ? std::min(shared->begin, data->end) : data->end;
      if (hole_end > at && has_data(src, at, hole_end)) {
        return at;
      }
      at = shared ? std::max(hole_end, shared->end) : data->end;
    }
  }
  return std::nullopt;
}

}  // namespace

void require_all_shared(const SourceFile& src, int made, const std::string& dst_path) {
  const struct stat clone = base::stat_fd(made, dst_path);
  const struct stat now = base::stat_fd(src.fd.get(), src.path);
  const auto refuse = [&](const std::string& what) {
    throw base::Error(base::ExitCode::system,
                      "cannot reflink " + base::quoted(src.path) + " to " + base::quoted(dst_path) +
                          ": the filesystem reports success, but the clone " + what +
                          "; use 'reflink-clone --reflink=never'");
  };
  const off_t least = std::min(src.st.st_size, now.st_size);
  if (clone.st_size < least) {
    refuse("has only " + std::to_string(clone.st_size) + " of " + std::to_string(least) + " bytes");
  }
  // A source that was written to after the clone may have data that the clone rightly lacks.
  if (clone.st_blocks < now.st_blocks && !is_modified(src)) {
    const std::optional<off_t> missing = first_missing(src, made, least);
    if (missing && !is_modified(src)) {
      refuse("has a hole instead of the data at byte " + std::to_string(*missing));
    }
  }
}

}  // namespace cloning
