// SPDX-License-Identifier: Apache-2.0
// Finds state files that a real Firecracker wrote.
//
// They are in tests/fixtures and, if it exists, in SNAPFORK_FIXTURES (default: ../shared/fixtures).
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
  std::filesystem::path texts;  // every string in it, with offsets
};

// Each `state*` below `folder` that has a `texts.json` with the same suffix beside it.
inline std::vector<RealState> real_states_below(const std::filesystem::path& folder) {
  std::vector<RealState> states;
  if (!std::filesystem::exists(folder)) {
    return states;
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const std::filesystem::path expected =
        entry.path().parent_path() /
        ("texts" + name.substr(std::min<size_t>(name.size(), 5)) + ".json");
    if (name.starts_with("state") && std::filesystem::exists(expected)) {
      states.push_back({entry.path(), expected});
    }
  }
  std::ranges::sort(states, {}, &RealState::state);
  return states;
}

// At least one of 1.15.1 and of 1.16.0.
inline std::vector<RealState> own_real_states() {
  return real_states_below("tests/fixtures");
}

inline std::string shared_fixtures() {
  const char* folder = std::getenv("SNAPFORK_FIXTURES");
  return folder != nullptr ? folder : "../shared/fixtures";
}

inline std::vector<RealState> shared_real_states() {
  return real_states_below(shared_fixtures());
}

inline std::vector<RealState> real_states() {
  std::vector<RealState> states = own_real_states();
  const std::vector<RealState> shared = shared_real_states();
  states.insert(states.end(), shared.begin(), shared.end());
  return states;
}
