// SPDX-License-Identifier: Apache-2.0
// Finds the cgroups that the jailer makes: HIERARCHY/PARENT/ID, in each hierarchy that it may use.
#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/file_status.h"
#include "fc/jail.h"

namespace fc {
namespace {

// The jailer refuses a parent with such components itself.
bool is_below(const std::string& path) {
  const std::string all = "/" + path + "/";
  return !path.empty() && !path.starts_with('/') && all.find("/../") == std::string::npos &&
         all.find("/./") == std::string::npos &&
         std::ranges::none_of(path, [](char c) { return c == '\n' || c == '\t'; });
}

}  // namespace

std::vector<std::string> new_cgroups(const std::vector<std::string>& arguments,
                                     const std::string& program, const std::string& id) {
  std::vector<std::string> found;
  if (std::ranges::find(arguments, "--cgroup") == arguments.end()) {
    return found;
  }
  std::string parent = program;  // the jailer's default
  const auto option = std::ranges::find(arguments, "--parent-cgroup");
  if (option != arguments.end() && option + 1 != arguments.end()) {
    parent = *(option + 1);
  }
  if (!is_below(parent)) {
    return found;
  }
  const std::string below = "/" + parent + "/" + id;
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string source;
    std::string directory;
    std::string type;
    words >> source >> directory >> type;
    const std::string path = directory + below;
    if ((type == "cgroup" || type == "cgroup2") && !base::try_lstat_path(path)) {
      found.push_back(path);
    }
  }
  return found;
}

}  // namespace fc
