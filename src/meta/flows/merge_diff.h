// SPDX-License-Identifier: Apache-2.0
// The pages of a Diff memory file over those of its base.
#pragma once

#include <cstdint>
#include <string>

#include "store/files.h"
#include "store/store.h"

namespace meta {

struct MergedDiff {
  uint64_t bytes = 0;    // that the Diff holds
  uint64_t extents = 0;  // in so many pieces
};

// Firecracker writes a Diff as a sparse file of full length: what is data in it, zeros too, has
// changed; what is a hole has not. Copies the data over `memory`, in place, durably; blocks are
// shared where the filesystem can. Killed, it leaves a part of the Diff in `memory`; it may be
// called again.
//
// Throws base::BadData when the two differ in length, and when `diff` has no hole: then it is no
// Diff, or one that lost its holes on the way, and nothing would be left of the base.
// base::Refused when `memory` is the same file, has several links, is sealed, or another process
// has it open; and when it lies in a guest of the store whose lock cannot be had, or that runs.
// std::system_error. Warns of a Diff without a page of zeros.
//
// With Target::copy_to_be_made, which is for a dry run, `memory` itself will not be written, but a
// copy of it: who else uses it, and its seal, do not matter.
enum class Target { memory, copy_to_be_made };
MergedDiff merge_diff(const store::Store& store, const std::string& diff, const std::string& memory,
                      Target target, store::Effect effect);

}  // namespace meta
