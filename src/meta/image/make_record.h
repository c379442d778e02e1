// SPDX-License-Identifier: Apache-2.0
// Makes the contents of image.json from a memory file.
#pragma once

#include <cstdint>
#include <string>

#include "meta/image/image_record.h"

namespace meta {

// Scans the memory file `fd` (scan_image) and counts its extents. `page_size` is that of the
// guest's memory. Throws as scan_image does.
ImageRecord make_image_record(int fd, const std::string& path, uint64_t page_size);

}  // namespace meta
