// SPDX-License-Identifier: Apache-2.0
// The description blob: the files of a template, and what its metadata record about its snapshot.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/metadata.h"

namespace oci {

enum class Role { state, memory, hpl1, hpl2, drive, pmem };
const char* role_name(Role role);  // "state", "memory", "hot-list", "hot-list-2", "drive", "pmem"
bool is_hot_list(Role role);
bool is_disk(Role role);

struct TemplateFile {
  Role role = Role::state;
  std::string name{};  // of a disk: its name in the guest's directory; else empty
  std::string path{};  // of a disk: the path that the state has for it; else empty
  uint64_t bytes = 0;

  // Its path, relative to the guest's directory.
  std::string path_in_guest() const;
};

struct Description {
  std::string memory_digest;        // of meta::ImageScan
  std::vector<TemplateFile> files;  // the state, the memory, then all others
  meta::Metadata metadata;          // Name and the members of snapfork in docs/oci.md
};

// The positions of these files.
inline constexpr size_t kStateFile = 0;
inline constexpr size_t kMemoryFile = 1;

// The members of a template's metadata that the description has.
meta::Metadata exported_metadata(const meta::Metadata& metadata);

std::string encode_description(const Description& description);
// Throws base::BadData unless `text` is a description whose files are in order, have valid lengths
// and, if they are disks, different plain file names that a guest may have.
Description parse_description(std::string_view text, std::string_view name);

// The lengths of the files, in order.
std::vector<uint64_t> file_lengths(const Description& description);

}  // namespace oci
