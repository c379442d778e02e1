// SPDX-License-Identifier: Apache-2.0
// Puts a hot list into a template.
#pragma once

#include <cstdint>
#include <string>

#include "base/effect.h"
#include "store/store.h"

namespace meta {

struct InstalledList {
  uint64_t pages = 0;
  bool has_hpl2 = false;  // hot.hpl2 was written, too
};
// Checks `bytes`, the list from file `name`, against the memory of template `id`, and writes
// template/hot.hpl and template/hot.hpl2, each replaced as a whole, under the template's exclusive
// lock. The lists before them stay as hot.hpl.1 and hot.hpl2.1. An HPL1 list whose regions are not
// those of an x86 guest without hot-plugged memory has no HPL2 form. Throws base::BadData for a
// corrupt list; base::Refused for one that is for another image, for one that is not exact without
// `force`, and if `id` is not a template.
InstalledList install_list(const store::Store& store, const std::string& id,
                           const std::string& bytes, const std::string& name, bool force,
                           base::Effect effect);

}  // namespace meta
