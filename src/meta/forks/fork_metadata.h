// SPDX-License-Identifier: Apache-2.0
// Makes the metadata of a fork from the metadata of its source.
#pragma once

#include <string>

#include "meta/guest/metadata.h"

namespace meta {

struct ForkIdentity {
  std::string id;
  std::string name;
  std::string source_id;
  std::string source_dir;   // the guest directory, absolute
  std::string fork_dir;     // the guest directory, absolute
  std::string template_id;  // the source if it is a template, else empty
  std::string backend{};    // "file" or "uffd"; not recorded if empty
  std::string backend_reason{};
  std::string cache_key;  // used if the source has none
  std::string session;    // at the page server; empty if the first restore maps the memory file
};

// Does what hypeman's ForkInstance (fork.go) does. The fork gets a new identity. It does not get
// the process, times, exit status, network address and page server session of the source. Paths
// below the source's directory move below the fork's. All other keys are copied, including
// VsockCID, which the guest's memory contains.
Metadata make_fork_metadata(const Metadata& source, const ForkIdentity& fork);

}  // namespace meta
