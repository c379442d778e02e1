// SPDX-License-Identifier: Apache-2.0
// Merges a Diff memory file into its base.
#pragma once

#include <cstdint>
#include <string>

#include "base/effect.h"
#include "store/store.h"

namespace meta {

struct MergedDiff {
  uint64_t bytes = 0;    // of data in the Diff
  uint64_t extents = 0;  // number of data extents
};

// Firecracker writes a Diff as a sparse file of full size. Data, including zeros, has changed; a
// hole has not. Copies the data over `memory` in place and durably. Shares blocks if the filesystem
// can. If it is killed, `memory` has a part of the Diff, and another call finishes it.
//
// Throws base::BadData if the sizes differ, or if `diff` has no hole. A file without holes is not a
// Diff, or lost its holes in a copy, and would overwrite the whole base. Throws base::Refused if
// `memory` is the same file, has several links, is sealed, or is open in another process, or if it
// belongs to a guest that runs or whose lock is held. Throws std::system_error. Warns about a Diff
// without a zero page that is data.
//
// Target::copy_to_be_made is for a dry run: the caller will merge into a copy of `memory`. Then its
// other users and its seal do not matter.
enum class Target { memory, copy_to_be_made };
MergedDiff merge_diff(const store::Store& store, const std::string& diff, const std::string& memory,
                      Target target, base::Effect effect);

}  // namespace meta
