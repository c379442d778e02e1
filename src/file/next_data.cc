// SPDX-License-Identifier: Apache-2.0
// Finds data by SEEK_DATA and SEEK_HOLE.
#include "file/next_data.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"

namespace file {

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
    base::throw_errno("cannot find data in " + base::quoted(name));
  }
  if (begin >= size) {
    return std::nullopt;
  }
  const off_t end = ::lseek(fd, begin, SEEK_HOLE);
  if (end < 0) {
    if (errno == ENXIO) {  // the file was truncated between the two calls; the reader reports that
      return std::nullopt;
    }
    base::throw_errno("cannot find a hole in " + base::quoted(name));
  }
  return Range{.begin = begin, .end = std::min(end, size)};
}

}  // namespace file
