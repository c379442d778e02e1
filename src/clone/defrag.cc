// SPDX-License-Identifier: Apache-2.0
// Rewrites a fragmented file densely and replaces it.
#include "clone/defrag.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "clone/attributes.h"
#include "clone/reflink.h"
#include "clone/sparse_copy.h"
#include "clone/staging.h"
#include "file/data_ranges.h"
#include "file/directory.h"
#include "file/extents.h"
#include "file/file_lease.h"
#include "file/zero_runs.h"

namespace cloning {
namespace {

[[noreturn]] void refuse(const SourceFile& src, const std::string& why) {
  throw base::Refused("cannot rewrite " + base::quoted(src.path) + ": " + why);
}

// Returns the largest holes, and one of length 0 at the end.
std::vector<file::ByteRange> holes_to_keep(const SourceFile& src) {
  const off_t size = src.st.st_size;
  std::vector<file::ByteRange> holes;
  off_t at = 0;
  for (std::optional<file::ByteRange> data = file::next_data(src.fd.get(), 0, size, src.path); data;
       data = file::next_data(src.fd.get(), at, size, src.path)) {
    holes.push_back({.begin = at, .end = data->begin});
    at = data->end;
  }
  holes.push_back({.begin = at, .end = size});
  std::erase_if(holes, [](const file::ByteRange& hole) {
    return hole.end - hole.begin < file::kSmallestHole;
  });
  holes = file::longest(std::move(holes), file::kMostHoles);
  holes.push_back({.begin = size, .end = size});
  return holes;
}

// Returns the ranges between the holes.
file::NextRange between(const std::vector<file::ByteRange>& holes) {
  return [&](off_t from) -> std::optional<file::ByteRange> {
    for (const file::ByteRange& hole : holes) {
      if (from < hole.begin) {
        return file::ByteRange{.begin = from, .end = hole.begin};
      }
      from = std::max(from, hole.end);
    }
    return std::nullopt;
  };
}

void write_densely(const SourceFile& src, int dst, const file::FileLease& lease,
                   Progress& progress) {
  const std::vector<file::ByteRange> holes = holes_to_keep(src);
  const int64_t bytes = src.st.st_size - bytes_of(holes);
  check_space(dst, bytes, src.path);
  if (::ftruncate(dst, src.st.st_size) != 0) {
    throw_with_advice(errno, "cannot rewrite " + base::quoted(src.path));
  }
  progress.begin(src.path, bytes);
  // One thread: the filesystem puts sequential writes into few extents.
  file::read_pieces(src.fd.get(), between(holes), src.st.st_size, 1, src.path,
                    [&](off_t at, std::span<const std::byte> data) {
                      if (lease.state() == file::FileLease::State::refused) {
                        refuse(src, "a process opens it for writing; try again when none does");
                      }
                      try {
                        base::pwrite_full(dst, data, at, src.path);
                      } catch (const std::system_error& error) {
                        throw_with_advice(error.code().value(),
                                          "cannot rewrite " + base::quoted(src.path));
                      }
                      progress.add(static_cast<int64_t>(data.size()));
                    });
}

void rewrite(const Destination& destination, const SourceFile& src, const file::FileLease& lease,
             Progress& progress) {
  StagedFile staged(destination);
  write_densely(src, staged.fd(), lease, progress);
  AttributeCopier attributes;
  attributes.apply(src.fd.get(), src.st, staged.fd(), src.path);
  if (attributes.lost() > 0) {
    refuse(src, "the copy cannot have " + attributes.first_lost());
  }
  require_unchanged(src);
  // A process that waits for the lease has already looked up the old inode and would write to a
  // file without a name. So the lease is checked after the exchange, which is then undone.
  staged.replace_if(
      [&](const struct stat& old) { return base::is_same_file(old, src.st) && lease.is_held(); },
      "a process opens or replaces it; try again when none does", base::Durable::yes);
}

}  // namespace

void defragment(const Destination& destination, SourceFile& src, const Request& request,
                Progress& progress) {
  const std::optional<int64_t> extents =
      file::count_extents(src.fd.get(), file::Flush::yes, src.path);
  if (!extents || *extents <= request.max_extents.value_or(file::kManyExtents)) {
    return;
  }
  if (src.st.st_nlink > 1) {
    refuse(src, "its inode has " + std::to_string(src.st.st_nlink) +
                    " links, and the others would keep the old extents; --unshare it first");
  }
  {
    const file::FileLease lease(src.fd.get(), file::FileLease::Kind::read);
    if (lease.state() == file::FileLease::State::refused) {
      refuse(src, "it is being written to" + writers_text(src) + "; stop the writer first");
    }
    if (!lease.is_proof()) {
      refuse(src, "no lease is available, so writers cannot be detected; run as its owner or root");
    }
    if (!base::is_dry_run(request.effect)) {
      rewrite(destination, src, lease, progress);
    }
  }
  if (!base::is_dry_run(request.effect)) {
    src = open_source(destination.parent(), destination.name(), src.path);
  }
  src.defragged = extents;
}

void defragment_operand(SourceFile& src, const Request& request, Progress& progress) {
  if (S_ISREG(src.st.st_mode)) {
    const Destination real(file::name_of_open(src.fd.get(), src.path));  // SRC may be a symlink
    defragment(Destination(real.parent(), real.name(), src.path), src, request, progress);
  }
}

}  // namespace cloning
