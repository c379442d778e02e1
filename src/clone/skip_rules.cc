// SPDX-License-Identifier: Apache-2.0
// Matches the entries that the profile and --exclude omit.
#include "clone/skip_rules.h"

#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "base/atomic_file.h"
#include "store/vmm_names.h"

namespace cloning {
namespace {

std::string_view name_of(std::string_view relative) {
  return relative.substr(relative.find_last_of('/') + 1);  // npos + 1 is 0
}

bool matches(const std::string& glob, const std::string& relative) {
  if (glob.find('/') == std::string::npos) {
    return ::fnmatch(glob.c_str(), std::string(name_of(relative)).c_str(), 0) == 0;
  }
  const char* from_source = glob.c_str() + (glob.starts_with('/') ? 1 : 0);
  return ::fnmatch(from_source, relative.c_str(), FNM_PATHNAME) == 0;
}

// Files in a guest directory that belong to the VMM that runs on it; a clone needs none of them.
// The rules are those of hypeman's copy engine, and the temporaries of this suite.
bool is_of_the_vmm(const std::string& relative, mode_t type) {
  if (relative == "snapshots/snapshot-base") {
    return true;
  }
  const std::string_view name = name_of(relative);
  if (base::is_temporary_name(name)) {
    return true;
  }
  if (S_ISDIR(type)) {
    return relative == "logs" || relative == "template" || relative == "uffd";
  }
  return store::is_socket_name(name) || (S_ISREG(type) && store::is_half_compressed_name(name));
}

}  // namespace

bool is_left_out(const Request& request, const std::string& relative, mode_t type) {
  return S_ISSOCK(type) ||
         std::any_of(request.excludes.begin(), request.excludes.end(),
                     [&](const std::string& glob) { return matches(glob, relative); }) ||
         (request.profile == Profile::vm && is_of_the_vmm(relative, type));
}

bool link_leads_out(const std::string& relative, std::string_view text) {
  const std::filesystem::path target =
      (std::filesystem::path(relative).parent_path() / text).lexically_normal();
  return target.is_absolute() || *target.begin() == "..";
}

bool is_memory_path(const std::string& relative) {
  return ::fnmatch("snapshots/*/memory", relative.c_str(), FNM_PATHNAME) == 0;
}

}  // namespace cloning
