// SPDX-License-Identifier: Apache-2.0
// Writes the sparse image of a kill test.
#include "pager/killtest/scratch_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <span>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace pager {

void write_scratch_image(const std::string& path) {
  const base::Fd fd = base::open_file(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (::ftruncate(fd.get(), static_cast<off_t>(ScratchImage::kBytes)) != 0) {
    base::throw_errno("cannot create " + base::quoted(path));
  }
  std::vector<uint64_t> words(ScratchImage::kWords);
  for (uint64_t page = 0; page < ScratchImage::kPages; ++page) {
    if (!ScratchImage::is_hole(page)) {
      for (uint64_t i = 0; i < words.size(); ++i) {
        words[i] = ScratchImage::word(page, i);
      }
      base::pwrite_full(fd.get(), std::as_bytes(std::span(words)),
                        static_cast<off_t>(page * hot::kSmallPage), path);
    }
  }
}

}  // namespace pager
