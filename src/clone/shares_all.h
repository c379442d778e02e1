// SPDX-License-Identifier: Apache-2.0
// Whether a clone has all of its source after FICLONE reported success.
#pragma once

#include <string>

#include "clone/source_file.h"

namespace cloning {

// Success of FICLONE is not proof: some filesystems have shared only the beginning of a file that
// had dirty data. Throws base::Error (exit status 5) when `made` is shorter than the source, or has
// a hole where the source has data. The source may grow during the clone. Costs two fstat(2), and a
// walk over the data of both where the clone has fewer blocks. Throws std::system_error.
void require_all_shared(const SourceFile& src, int made, const std::string& dst_path);

}  // namespace cloning
