// SPDX-License-Identifier: Apache-2.0
// Writes back the data of each file without a flush if the journal has one order for all files.
#include "file/sync_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "base/error.h"
#include "base/fd.h"

namespace file {
namespace {

bool has_ordered_journal(int fd) {
  struct statfs fs {};
  return ::fstatfs(fd, &fs) == 0 && (fs.f_type == XFS_SUPER_MAGIC || fs.f_type == EXT4_SUPER_MAGIC);
}

// Waits until the data is on the device, perhaps in its cache. XFS and ext4 change the size and the
// extents of the file, in transactions of the journal, before the write-back of its pages ends.
void write_back(int fd, const std::string& path) {
  constexpr unsigned kAll =
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  if (::sync_file_range(fd, 0, 0, kAll) != 0) {
    base::throw_errno("cannot write " + base::quoted(path));
  }
}

}  // namespace

void sync_files(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const base::Fd fd = base::open_file(path, O_RDONLY | O_NOFOLLOW);
    if (&path != &paths.back() && has_ordered_journal(fd.get())) {
      write_back(fd.get(), path);
    } else {
      base::sync_fd(fd.get(), path);
    }
  }
}

}  // namespace file
