// SPDX-License-Identifier: Apache-2.0
// Reads the data of a sparse file in pieces, by several threads.
#include "file/data_ranges.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/parallel.h"

namespace file {

NextRange data_of(int fd, off_t size, std::string_view name) {
  return [=](off_t from) { return next_data(fd, from, size, name); };
}

std::vector<ByteRange> pieces_of(const NextRange& next, off_t from, off_t longest, size_t most) {
  std::vector<ByteRange> pieces;
  for (std::optional<ByteRange> range = next(from); range; range = next(range->end)) {
    for (off_t at = range->begin; at < range->end; at = pieces.back().end) {
      if (pieces.size() == most) {
        return pieces;
      }
      const off_t length = std::min(range->end - at, longest - at % longest);
      pieces.push_back({.begin = at, .end = at + length});
    }
  }
  return pieces;
}

void read_pieces(int fd, const NextRange& next, off_t size, int jobs, std::string_view name,
                 const UsePiece& use, off_t longest) {
  for (std::vector<ByteRange> pieces = pieces_of(next, 0, longest); !pieces.empty();
       pieces = pieces_of(next, pieces.back().end, longest)) {
    base::for_each_index(jobs, pieces.size(), [&] {
      return [&,
              buffer = std::vector<std::byte>(static_cast<size_t>(longest))](size_t index) mutable {
        const ByteRange& piece = pieces[index];
        const std::span<std::byte> data =
            std::span(buffer).first(static_cast<size_t>(piece.end - piece.begin));
        if (base::pread_full(fd, data, piece.begin, name) < data.size()) {
          require_length(fd, piece.end, name);
          throw base::BadData("cannot read " + base::quoted(name) + ": the file ends too early");
        }
        use(piece.begin, data);
      };
    });
  }
  require_length(fd, size, name);
}

void require_length(int fd, off_t size, std::string_view name) {
  const struct stat now = base::stat_fd(fd, name);
  if (now.st_size < size) {
    throw base::Refused(
        "cannot read " + base::quoted(name) +
        ": the file was truncated while it was read; try again when no process writes to it");
  }
}

}  // namespace file
