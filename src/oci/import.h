// SPDX-License-Identifier: Apache-2.0
// Imports a template from an OCI image layout.
#pragma once

#include <cstdint>
#include <string>

#include "base/effect.h"
#include "clone/progress.h"
#include "oci/digest.h"
#include "oci/new_guest.h"
#include "store/store.h"

namespace oci {

struct ImportRequest {
  NewGuestRequest guest;
  std::string source;          // a directory, or "-" for a tar on standard input
  std::string tag;             // empty: see Layout::entry
  std::string share = "auto";  // the template to share blocks with: an id, "auto" or "never"
  base::Effect effect = base::Effect::real;
};

struct ImportReport {
  Digest manifest;
  uint64_t raw_bytes = 0;     // of all chunks
  uint64_t shared_bytes = 0;  // of those whose blocks are shared with a local template
  std::string shared_with;    // that template; empty if none
};

// Makes the template `guest.id`. Every blob and every chunk is checked before the template is
// published by one rename. A call that fails or is killed leaves nothing, except temporary files
// that the next import of the id, and fsck, remove. Throws base::Refused, base::BadData,
// std::system_error. A dry run checks the manifest, the description, the index and the lengths of
// the packs of a layout in a directory.
ImportReport import_template(const store::Store& store, const ImportRequest& request,
                             cloning::Progress& progress);

}  // namespace oci
