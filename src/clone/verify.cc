#include "clone/verify.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "clone/data_ranges.h"

namespace cloning {
namespace {

// What either of the two has data in, in pieces.
std::vector<Range> pieces_of_both(int src, int dst, off_t size, const std::string& src_path,
                                  const std::string& dst_path) {
  std::vector<Range> pieces = data_pieces(src, size, src_path);
  const std::vector<Range> more = data_pieces(dst, size, dst_path);
  pieces.insert(pieces.end(), more.begin(), more.end());
  std::sort(pieces.begin(), pieces.end(), [](const Range& a, const Range& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  off_t done = 0;
  for (Range& piece : pieces) {
    piece.begin = std::max(piece.begin, done);
    done = std::max(done, piece.end);
  }
  std::erase_if(pieces, [](const Range& piece) { return piece.begin >= piece.end; });
  return pieces;
}

}  // namespace

void require_same(int src, int dst, off_t size, int jobs, Progress& progress,
                  const std::string& src_path, const std::string& dst_path) {
  const auto throw_differs = [&](const std::string& where) {
    throw base::Refused("cannot verify " + base::quoted(dst_path) + ": it differs from " +
                        base::quoted(src_path) + where +
                        "; somebody writes to the source, or the device fails");
  };
  struct stat st {};
  if (::fstat(dst, &st) != 0) {
    base::throw_errno("cannot stat " + base::quoted(dst_path));
  }
  if (st.st_size != size) {
    throw_differs(" in length");
  }
  // Without its pages in the cache, what is read is what is on the disk.
  base::sync_fd(dst, dst_path);
  static_cast<void>(::posix_fadvise(dst, 0, 0, POSIX_FADV_DONTNEED));
  const std::vector<Range> pieces = pieces_of_both(src, dst, size, src_path, dst_path);
  progress.begin(dst_path, size);
  read_pieces(src, pieces, size, jobs, src_path, [&](off_t at, std::span<const std::byte> data) {
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
