// SPDX-License-Identifier: Apache-2.0
// Records the CPU and the kernel of the host on which a snapshot was made, and compares them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/metadata.h"

namespace meta {

// A member that the host does not report is empty.
struct Host {
  std::string cpu_vendor;    // "AuthenticAMD"; on aarch64 the implementer, "0x41"
  std::string cpu_family;    // on aarch64 the architecture, "8"
  std::string cpu_model;     // a number; on aarch64 the part, "0xd40"
  std::string cpu_stepping;  // on aarch64 the variant and the revision, "0x1.1"
  std::string microcode;
  std::string kernel;  // "6.1.0-40-amd64"
};

// The machine on which this process runs: the first processor of /proc/cpuinfo, and uname(2).
Host this_host();
// The same for the text of a cpuinfo file.
Host parse_host(std::string_view cpuinfo, std::string kernel);

// snapfork.host. Returns nothing if it is not recorded.
std::optional<Host> recorded_host(const Metadata& metadata);
void record_host(Metadata& metadata, const Host& host);

// One sentence for each difference that may keep a guest from running on `here`: the CPU, its
// microcode, and the version of the kernel (its first two numbers). A member that one of the two
// lacks never differs.
std::vector<std::string> host_differences(const Host& recorded, const Host& here);
// The same for the recorded host of a guest; nothing if none is recorded.
std::vector<std::string> host_differences(const Metadata& metadata, const Host& here);

}  // namespace meta
