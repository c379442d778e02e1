// SPDX-License-Identifier: Apache-2.0
// Hot list files: each is read once and shared by the sessions that install it.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "hot/hot_list.h"
#include "pager/image/image.h"

namespace pager {

// An immutable hot list, with the path for messages.
struct HotFile {
  std::string path;
  std::vector<hot::HotPage> pages;
  std::vector<hot::HotPage> sorted{};  // the same pages, for lists()

  bool lists(const hot::HotPage& page) const {
    return std::ranges::binary_search(sorted, page, is_before);
  }
  static bool is_before(const hot::HotPage& a, const hot::HotPage& b) {
    return a.region != b.region ? a.region < b.region : a.offset < b.offset;
  }
};

// The hot lists that are in use. Thread-safe.
class HotListCache {
 public:
  // Reads a list, or returns it if the same file is in use. Throws std::system_error, or
  // base::BadData; also if an entry lies outside of `image` with any regions.
  std::shared_ptr<const HotFile> open(const std::string& path, const Image& image);

 private:
  using Key = std::tuple<uint64_t, uint64_t, uint64_t, int64_t, int64_t>;

  std::mutex mutex_;
  std::map<Key, std::weak_ptr<const HotFile>> files_;
};

}  // namespace pager
