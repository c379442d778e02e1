// SPDX-License-Identifier: Apache-2.0
// Opens hot list files and caches them by inode and time.
#include "pager/faults/hot_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"

namespace pager {
namespace {

// O_NONBLOCK keeps the open of a FIFO from blocking. The FIFO is rejected after the open.
base::Fd open_list(const std::string& path, struct stat& st) {
  base::Fd fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  st = base::stat_fd(fd.get(), path);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot use hot list " + base::quoted(path) + ": it is not a regular file");
  }
  return fd;
}

std::shared_ptr<const HotFile> read_list(base::Fd fd, const std::string& path, uint64_t most) {
  if (hot::is_packed(fd.get(), path)) {
    hot::PackedMap map = hot::read_packed_map(fd.get(), path, most);
    hot::HotList list = map.list;
    return std::make_shared<const HotFile>(
        path, std::move(list), std::make_shared<PackedFile>(std::move(fd), std::move(map)));
  }
  const std::string data = base::read_all(fd.get(), hot::largest_hot_list(most), path);
  return std::make_shared<const HotFile>(path, hot::parse_hot_list(data, path, most));
}

}  // namespace

HotFile::HotFile(std::string file_path, hot::HotList contents,
                 std::shared_ptr<const PackedFile> packed_pages)
    : path(std::move(file_path)),
      list(std::move(contents)),
      pages(hot::count_pages(list.runs)),
      sorted(list.runs),
      packed(std::move(packed_pages)) {
  std::ranges::sort(sorted, is_before);
}

std::shared_ptr<const HotFile> HotListCache::open(const std::string& path, const Image& image) {
  struct stat st {};
  base::Fd fd = open_list(path, st);
  const ImageIdentity id = identity_of(st);
  const Key key{id.device, id.inode, id.size, id.modified_ns, id.changed_ns};
  std::shared_ptr<const HotFile> file;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(files_, [](const auto& entry) { return entry.second.expired(); });
    if (const auto it = files_.find(key); it != files_.end()) {
      file = it->second.lock();
    }
  }
  // A list contains each page of the image at most once, so a longer one was not recorded from this
  // image. A cached list may have been read for another image, so its length is checked again.
  const uint64_t most = image.size() / hot::kSmallPage;
  if (!file || file->pages > most) {
    file = read_list(std::move(fd), path, most);
    const std::lock_guard lock(mutex_);
    files_[key] = file;
  }
  const hot::ImageFacts facts{.memory_bytes = image.size(), .digest = image.digest()};
  if (const std::string why = hot::identity_problem(file->list, facts); !why.empty()) {
    throw base::BadData("cannot use hot list " + base::quoted(path) + " for " +
                        base::quoted(image.path()) + ": " + why);
  }
  return file;
}

}  // namespace pager
