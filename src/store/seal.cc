// SPDX-License-Identifier: Apache-2.0
// Describes why a memory file is not sealed.
#include "store/seal.h"

#include <array>
#include <cstdio>

namespace store {

std::string seal_problem(const struct stat& file, Links links) {
  if (!is_sealed(file)) {
    std::array<char, 64> text{};
    static_cast<void>(std::snprintf(text.data(), text.size(), "it is writable (mode %04o)",
                                    file.st_mode & 07777U));
    return text.data();
  }
  if (links == Links::one && file.st_nlink > 1) {
    return "its inode has " + std::to_string(file.st_nlink) + " links";
  }
  return "";
}

}  // namespace store
