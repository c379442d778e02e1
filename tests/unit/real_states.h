// State files that a real Firecracker wrote: the one in tests/fixtures, and those of
// SNAPFORK_FIXTURES (by default ../shared/fixtures) where that is there.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

inline std::string slurp(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

struct RealState {
  std::filesystem::path state;
  std::filesystem::path texts;  // every text in it, with offsets
};

inline std::vector<RealState> real_states() {
  std::vector<RealState> states{{"tests/fixtures/plain/state", "tests/fixtures/plain/texts.json"}};
  const char* folder = std::getenv("SNAPFORK_FIXTURES");
  const std::filesystem::path fixtures = folder != nullptr ? folder : "../shared/fixtures";
  if (!std::filesystem::exists(fixtures)) {
    return states;
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(fixtures)) {
    const std::string name = entry.path().filename().string();
    const std::filesystem::path texts =
        entry.path().parent_path() /
        ("texts" + name.substr(std::min<size_t>(name.size(), 5)) + ".json");
    // Of no release: formats that are not understood yet.
    const bool made = entry.path().string().find("-made/") != std::string::npos;
    if (!made && name.starts_with("state") && std::filesystem::exists(texts)) {
      states.push_back({entry.path(), texts});
    }
  }
  return states;
}
