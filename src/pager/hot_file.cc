#include "pager/hot_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/fd.h"

namespace pager {

std::shared_ptr<const HotFile> HotFileStore::open(const std::string& path, const Image& image) {
  std::shared_ptr<const HotFile> file;
  struct stat st {};
  const bool found = ::stat(path.c_str(), &st) == 0;
  const ImageIdentity id = identity_of(st);
  const Key key{id.device, id.inode, id.size, id.modified_ns, id.changed_ns};
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(files_, [](const auto& entry) { return entry.second.expired(); });
    if (const auto it = found ? files_.find(key) : files_.end(); it != files_.end()) {
      file = it->second.lock();
    }
  }
  if (!file) {
    HotFile read{.path = path, .pages = decode_hpl1(base::read_file(path, kMaxHotListBytes), path)};
    read.sorted = read.pages;
    std::ranges::sort(read.sorted, HotFile::is_before);
    file = std::make_shared<const HotFile>(std::move(read));
    const std::lock_guard lock(mutex_);
    files_[key] = file;
  }
  const auto outside = std::ranges::find_if(
      file->pages, [&](const HotPage& page) { return page.offset >= image.size(); });
  if (outside != file->pages.end()) {
    throw base::BadData("cannot use hot list " + base::quoted(path) + ": it names offset " +
                        std::to_string(outside->offset) + ", and " + base::quoted(image.path()) +
                        " has " + std::to_string(image.size()) +
                        " bytes; it is for a larger image");
  }
  return file;
}

}  // namespace pager
