// SPDX-License-Identifier: Apache-2.0
// Writes back the data of each file without a flush if the journal has one order for all files, and
// otherwise flushes them concurrently.
#include "file/sync_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>

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

void sync_path(const std::string& path) {
  base::sync_fd(base::open_file(path, O_RDONLY | O_NOFOLLOW).get(), path);
}

// Flushes all at the same time. Throws what the first one that failed throws.
void sync_at_once(const std::vector<std::string>& paths) {
  constexpr size_t kMostThreads = 64;
  constexpr size_t kTooFew = 4;  // to gain more than the threads take
  std::atomic<size_t> next = 0;
  std::atomic<bool> has_failed = false;
  std::exception_ptr failure;
  const auto work = [&] {
    for (size_t i = next++; i < paths.size(); i = next++) {
      try {
        sync_path(paths[i]);
      } catch (const std::exception&) {
        if (!has_failed.exchange(true)) {
          failure = std::current_exception();
        }
      }
    }
  };
  std::vector<std::thread> threads;
  try {
    while (paths.size() >= kTooFew && threads.size() + 1 < std::min(paths.size(), kMostThreads)) {
      threads.emplace_back(work);
    }
  } catch (const std::system_error&) {
    // No more threads: those that exist do the work.
  }
  work();
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace

void sync_files(const std::vector<std::string>& files,
                const std::vector<std::string>& directories) {
  if (files.empty()) {
    return;
  }
  if (!has_ordered_journal(base::open_file(files.front(), O_RDONLY | O_NOFOLLOW).get())) {
    std::vector<std::string> all = files;
    all.insert(all.end(), directories.begin(), directories.end());
    sync_at_once(all);
    return;
  }
  for (const std::string& path : files) {
    if (&path != &files.back()) {
      write_back(base::open_file(path, O_RDONLY | O_NOFOLLOW).get(), path);
    } else {
      sync_path(path);
    }
  }
  for (const std::string& path : directories) {
    sync_path(path);
  }
}

}  // namespace file
