// SPDX-License-Identifier: Apache-2.0
// The metadata of a fork, made from that of its source.
#pragma once

#include <string>

#include "meta/guest/metadata.h"

namespace meta {

struct ForkIdentity {
  std::string id;
  std::string name;
  std::string source_id;
  std::string source_dir;  // guest directories, absolute
  std::string fork_dir;
  std::string template_id;  // the source, when it is a template; else empty
  std::string cache_key;    // where the source has none
  std::string session;      // at the page server, for the first restore; empty: it maps the file
};

// What hypeman's ForkInstance does to a snapshot's metadata (facts of its fork.go): a new identity;
// no process, times, exit, network address or page server session of the source; paths that lay in
// the source's directory lie in the fork's. All other keys are the source's, VsockCID among them:
// the guest's memory has it.
Metadata make_fork_metadata(const Metadata& source, const ForkIdentity& fork);

}  // namespace meta
