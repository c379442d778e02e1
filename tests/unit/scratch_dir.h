// SPDX-License-Identifier: Apache-2.0
// A directory of its own for each test, removed at the end.
#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"

class ScratchDir {
 public:
  ScratchDir() {
    std::string name = (std::filesystem::temp_directory_path() / "snapfork-test.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      base::throw_errno("cannot create a scratch directory");
    }
    path_ = name;
  }
  ~ScratchDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir(ScratchDir&&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  ScratchDir& operator=(ScratchDir&&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};
