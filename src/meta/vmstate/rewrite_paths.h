// SPDX-License-Identifier: Apache-2.0
// Replaces paths and names of taps in a state file; `snapshot-meta rewrite-paths` calls this.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meta/vmstate/vmstate.h"

namespace meta::vmstate {

// A path equal to `from` becomes `to`. A path below the directory `from` moves below `to`. Neither
// string is empty.
struct PathChange {
  std::string from;
  std::string to;
};

struct ChangedPath {
  Role role;
  std::string from;
  std::string to;
};
struct RewrittenState {
  std::string bytes;
  std::vector<ChangedPath> changes;  // ordered by offset
};

// Returns a copy of the state `bytes` with changed paths of drives, sockets, pmem files, the kernel
// and the initrd. The new paths may have any length. The lengths before the strings (in bitcode one
// packed column for all devices of a kind) and the CRC are updated. All other bytes are copied. If
// several changes match a path, the first one applies.
//
// The result is read back and compared with the request. Throws base::BadData if `bytes` is not a
// whole state, base::Unsupported if its devices cannot be read, base::Refused if a change matches
// no path, and base::UsageError for a new path that Firecracker cannot use.
RewrittenState rewrite_paths(std::string_view bytes, std::string_view name,
                             std::span<const PathChange> changes);

// The same with one new path for each of `state.paths`, in their order. `state` is the result of
// parse_vmstate and read_devices for `bytes`. The paths of the kernel and the initrd stay.
// `new_taps` has a name for each of `state.taps`, in their order, or is empty if they stay.
RewrittenState set_paths(std::string_view bytes, std::string_view name, const VmState& state,
                         std::span<const std::string> new_paths,
                         std::span<const std::string> new_taps = {});

}  // namespace meta::vmstate
