// SPDX-License-Identifier: Apache-2.0
// Reads the hot list with the parser that the page server uses.
#include "meta/image/hot_list_bounds.h"

#include "base/error.h"
#include "base/fd.h"
#include "hot/hot_list.h"
#include "hot/region.h"

namespace meta {

std::string hot_list_problem(int fd, std::string_view name, const hot::ImageFacts& image) {
  const uint64_t most = image.memory_bytes / hot::kSmallPage;
  std::string text;
  try {
    text = base::read_all(fd, hot::largest_hot_list(most), name);
  } catch (const base::BadData& error) {
    return error.what();
  }
  const hot::Decoded decoded = hot::try_decode_hot_list(text, most);
  return decoded.problem.empty() ? hot::identity_problem(decoded.list, image) : decoded.problem;
}

}  // namespace meta
