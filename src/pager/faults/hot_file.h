// SPDX-License-Identifier: Apache-2.0
// Hot list files: each is read once and shared by the sessions that install it.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "hot/hot_list.h"
#include "pager/faults/packed_file.h"
#include "pager/image/image.h"

namespace pager {

// An immutable hot list, with the path for messages. A packed list also has the pages.
struct HotFile {
  std::string path;
  hot::HotList list;
  uint64_t pages;                            // of the list
  std::vector<hot::HotRun> sorted{};         // the same runs, for lists()
  std::shared_ptr<const PackedFile> packed;  // null: the file contains no pages

  HotFile(std::string file_path, hot::HotList contents,
          std::shared_ptr<const PackedFile> packed_pages = nullptr);

  bool lists(const hot::HotPage& page) const {
    const auto after =
        std::ranges::upper_bound(sorted, hot::HotRun{page.region, 1, page.offset}, is_before);
    if (after == sorted.begin()) {
      return false;
    }
    const hot::HotRun& run = *std::prev(after);
    return run.region == page.region && page.offset - run.offset < run.count * list.page_size;
  }
  static bool is_before(const hot::HotRun& a, const hot::HotRun& b) {
    return a.region != b.region ? a.region < b.region : a.offset < b.offset;
  }
};

// The hot lists that are in use. Thread-safe.
class HotListCache {
 public:
  // Reads a list, or the map of a packed one, or returns it if the same file is in use. Throws
  // std::system_error, or base::BadData; also if an entry lies outside of `image` with any regions.
  std::shared_ptr<const HotFile> open(const std::string& path, const Image& image);

 private:
  using Key = std::tuple<uint64_t, uint64_t, uint64_t, int64_t, int64_t>;

  std::mutex mutex_;
  std::map<Key, std::weak_ptr<const HotFile>> files_;
};

}  // namespace pager
