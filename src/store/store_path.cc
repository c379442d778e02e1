// SPDX-License-Identifier: Apache-2.0
// Resolves a path and compares inodes with the guest directories.
#include "store/store_path.h"

#include <sys/stat.h>

#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "base/file_status.h"
#include "base/open_files.h"

namespace store {

std::optional<std::string> guest_of_path(const Store& store, const std::string& path) {
  namespace fs = std::filesystem;
  struct stat guests {};
  if (::stat(store.guests_dir().c_str(), &guests) != 0) {
    return std::nullopt;
  }
  std::error_code error;
  fs::path child = fs::canonical(path, error);
  if (error) {
    base::throw_error_number(error.value(), "cannot resolve " + base::quoted(path));
  }
  for (; child.has_relative_path(); child = child.parent_path()) {
    struct stat parent {};
    if (::stat(child.parent_path().c_str(), &parent) == 0 && base::is_same_file(parent, guests)) {
      return child.filename().string();
    }
  }
  return std::nullopt;
}

}  // namespace store
