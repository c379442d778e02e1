// SPDX-License-Identifier: Apache-2.0
// Finds data by SEEK_DATA and SEEK_HOLE.
#include "file/next_data.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"

namespace file {
namespace {

// Whether `error` of lseek(2) means that the filesystem does not report holes.
bool is_unsupported(int error) {
  return error == EINVAL || error == EOPNOTSUPP;
}

}  // namespace

std::optional<ByteRange> next_data(int fd, off_t from, off_t size, std::string_view name) {
  if (from >= size) {
    return std::nullopt;
  }
  const off_t begin = ::lseek(fd, from, SEEK_DATA);
  if (begin < 0) {
    if (errno == ENXIO) {
      return std::nullopt;
    }
    if (is_unsupported(errno)) {
      return ByteRange{.begin = from, .end = size};
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
    if (is_unsupported(errno)) {
      return ByteRange{.begin = begin, .end = size};
    }
    base::throw_errno("cannot find a hole in " + base::quoted(name));
  }
  return ByteRange{.begin = begin, .end = std::min(end, size)};
}

std::vector<ByteRange> list_data(int fd, off_t size, std::string_view name, size_t most) {
  std::vector<ByteRange> ranges;
  for (std::optional<ByteRange> data = next_data(fd, 0, size, name); data;
       data = next_data(fd, data->end, size, name)) {
    if (!ranges.empty() && ranges.back().end == data->begin) {
      ranges.back().end = data->end;
    } else if (ranges.size() + 1 == most) {
      ranges.push_back({.begin = data->begin, .end = size});
      break;
    } else {
      ranges.push_back(*data);
    }
  }
  return ranges;
}

}  // namespace file
