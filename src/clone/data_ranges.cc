#include "clone/data_ranges.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "clone/parallel.h"

namespace cloning {
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

std::vector<Range> data_pieces(int fd, off_t size, std::string_view name, off_t longest) {
  std::vector<Range> pieces;
  for (std::optional<Range> range = next_data(fd, 0, size, name); range;
       range = next_data(fd, range->end, size, name)) {
    for (off_t at = range->begin; at < range->end;) {
      const off_t end = at + std::min(range->end - at, longest - at % longest);
      pieces.push_back({.begin = at, .end = end});
      at = end;
    }
  }
  return pieces;
}

void read_pieces(int fd, std::span<const Range> pieces, off_t size, int jobs, std::string_view name,
                 const UsePiece& use) {
  off_t longest = 0;
  for (const Range& piece : pieces) {
    longest = std::max(longest, piece.end - piece.begin);
  }
  for_each_index(jobs, pieces.size(), [&] {
    return
        [&, buffer = std::vector<std::byte>(static_cast<size_t>(longest))](size_t index) mutable {
          const Range& piece = pieces[index];
          const std::span<std::byte> data =
              std::span(buffer).first(static_cast<size_t>(piece.end - piece.begin));
          if (base::pread_full(fd, data, piece.begin, name) < data.size()) {
            require_length(fd, piece.end, name);
            throw base::BadData("cannot read " + base::quoted(name) + ": it ends too early");
          }
          use(piece.begin, data);
        };
  });
  require_length(fd, size, name);
}

void require_length(int fd, off_t size, std::string_view name) {
  struct stat now {};
  if (::fstat(fd, &now) != 0) {
    base::throw_errno("cannot stat " + base::quoted(name));
  }
  if (now.st_size < size) {
    throw base::Refused("cannot read " + base::quoted(name) +
                        ": it got shorter meanwhile; run again when nobody writes to it");
  }
}

}  // namespace cloning
