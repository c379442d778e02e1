// SPDX-License-Identifier: Apache-2.0
// Finds the first reason why a list is not for a memory file.
#include "hot/hotpage_commands.h"

#include <sys/stat.h>

#include "base/error.h"
#include "base/file_status.h"
#include "hot/trace.h"

namespace hot {
namespace {

uint64_t size_of_memory(const std::string& path) {
  const struct stat st = base::stat_path(path);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot use memory file " + base::quoted(path) +
                        ": it is not a regular file");
  }
  return static_cast<uint64_t>(st.st_size);
}

}  // namespace

void check_hot_list_for_file(std::span<const HotPage> pages, const std::string& name,
                             const HotListLayout& layout, const std::string& memory_path) {
  const uint64_t file_size = size_of_memory(memory_path);
  std::vector<Region> regions = layout.regions;
  if (regions.empty()) {
    regions.push_back({.base = 0, .size = file_size, .offset = 0, .page_size = layout.page_size});
  }
  if (const auto problem = file_layout_problem(regions, file_size)) {
    const std::string message =
        "cannot check against " + base::quoted(memory_path) + ": " + *problem;
    if (layout.regions.empty()) {
      throw base::BadData(message);
    }
    throw base::UsageError(message + "; see --regions");
  }
  check_hot_list(pages, regions, name);
}

void check_list_for_file(const HotList& list, const std::string& name, const HotListLayout& layout,
                         const std::string& memory_path, const std::string& digest) {
  if (list.format == ListFormat::hpl1) {
    check_hot_list_for_file(expand(list.runs, list.page_size), name, layout, memory_path);
    return;
  }
  const ImageFacts image{
      .memory_bytes = size_of_memory(memory_path), .digest = digest, .regions = layout.regions};
  if (const std::string problem = identity_problem(list, image); !problem.empty()) {
    throw base::Refused("cannot use hot list " + base::quoted(name) + " for " +
                        base::quoted(memory_path) + ": " + problem);
  }
}

}  // namespace hot
