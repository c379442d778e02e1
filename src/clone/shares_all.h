// SPDX-License-Identifier: Apache-2.0
// Checks that a clone has all of its source after FICLONE reported success.
#pragma once

#include <string>

#include "clone/source_file.h"

namespace cloning {

// Success of FICLONE is not proof: some filesystems have shared only the beginning of a file that
// had dirty data. Throws base::Error (exit status 5) if `made` is shorter than the source, or has a
// hole where the source has data. The source may grow during the clone. Costs two fstat(2) calls
// and, if the clone has fewer blocks, a walk over the data of both. Throws std::system_error.
void require_all_shared(const SourceFile& src, int made, const std::string& dst_path);

}  // namespace cloning
