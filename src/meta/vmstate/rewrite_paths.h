// SPDX-License-Identifier: Apache-2.0
// Other paths in a state file: what `snapshot-meta rewrite-paths` does.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meta/vmstate/vmstate.h"

namespace meta {

// A path that is `from`, or lies under it, becomes `to`, or lies there. Neither is empty.
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
  std::vector<ChangedPath> changes;  // in the order of the file
};

// A copy of the state `bytes` with other paths of any length: of drives, sockets, pmem files, the
// kernel and the initrd. The lengths that stand before the texts (in bitcode a packed column for
// all devices of a kind) and the CRC are made to fit; all else stays to the byte. The first change
// that matches a path is the one that counts.
//
// The result is read again and compared with what it is to be. Throws base::BadData when `bytes` is
// no whole state; base::Unsupported when its devices are not understood; base::Refused when a
// change matches no path; base::UsageError for a new path that Firecracker could not use.
RewrittenState rewrite_paths(std::string_view bytes, std::string_view name,
                             std::span<const PathChange> changes);

}  // namespace meta
