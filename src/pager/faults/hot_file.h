// SPDX-License-Identifier: Apache-2.0
// Hot lists in files: read once, shared by the sessions that install them.
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

// An immutable list and the name that messages call it by.
struct HotFile {
  std::string path;
  std::vector<hot::HotPage> pages;
  std::vector<hot::HotPage> sorted{};  // the same, for `lists`

  bool lists(const hot::HotPage& page) const {
    return std::ranges::binary_search(sorted, page, is_before);
  }
  static bool is_before(const hot::HotPage& a, const hot::HotPage& b) {
    return a.region != b.region ? a.region < b.region : a.offset < b.offset;
  }
};

// The hot lists that are in use now. Safe to use from any thread.
class HotFileStore {
 public:
  // Reads a list, or finds the same file's again. Throws base::BadData or std::system_error;
  // BadData also when an entry lies outside of `image` whatever its regions are.
  std::shared_ptr<const HotFile> open(const std::string& path, const Image& image);

 private:
  using Key = std::tuple<uint64_t, uint64_t, uint64_t, int64_t, int64_t>;

  std::mutex mutex_;
  std::map<Key, std::weak_ptr<const HotFile>> files_;
};

}  // namespace pager
