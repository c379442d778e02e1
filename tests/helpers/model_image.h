// SPDX-License-Identifier: Apache-2.0
// Memory files for pager-model, with every kind of page that a page server might confuse.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "hot/region.h"
#include "pager/probe/random.h"

// Writes a file of `bytes`: runs of random data, holes, stored zeros, pages that are zero except
// for their last byte, and pages that start with zeros. The file is read-only for half of the
// seeds.
inline void write_model_image(const std::string& path, uint64_t bytes, uint64_t seed) {
  enum Kind : uint64_t { noise, more_noise, hole, zeros, last_byte, late_start, kinds };
  pager::Random random(seed);
  ::unlink(path.c_str());
  const base::Fd fd = base::open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    base::throw_errno("cannot create " + path);
  }
  std::array<uint64_t, hot::kSmallPage / sizeof(uint64_t)> page{};
  for (uint64_t at = 0; at < bytes;) {
    const auto kind = static_cast<Kind>(random.below(kinds));
    // Some runs are longer than 2 MiB, the size of a huge page and of a hole that is unregistered.
    const uint64_t most = random.below(4) == 0 ? 1400 : 40;
    const uint64_t end = std::min(bytes, at + (1 + random.below(most)) * hot::kSmallPage);
    for (; at < end; at += hot::kSmallPage) {
      page.fill(0);
      if (kind == noise || kind == more_noise) {
        std::ranges::generate(page, [&] { return random.next() | 1U; });
      } else if (kind == last_byte) {
        page.back() = uint64_t{1} << 63U;
      } else if (kind == late_start) {
        std::generate(page.begin() + page.size() / 2, page.end(), [&] { return random.next(); });
      }
      if (kind != hole) {
        base::pwrite_full(fd.get(), std::as_bytes(std::span(page)), static_cast<off_t>(at), path);
      }
    }
  }
  if (random.below(2) == 0 && ::fchmod(fd.get(), 0400) != 0) {
    base::throw_errno("cannot seal " + path);
  }
}
