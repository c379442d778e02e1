// SPDX-License-Identifier: Apache-2.0
// Exports a template as an OCI image layout.
#pragma once

#include <cstdint>
#include <string>

#include "base/effect.h"
#include "clone/progress.h"
#include "oci/digest.h"
#include "store/store.h"

namespace oci {

struct ExportRequest {
  std::string id;
  std::string target;  // a directory, or "-" for a tar on standard output
  std::string tag = "latest";
  base::Effect effect = base::Effect::real;
};

struct ExportReport {
  Digest manifest;
  size_t layers = 0;
  uint64_t chunks = 0;
  uint64_t raw_bytes = 0;  // of the chunks
  uint64_t bytes = 0;      // of all blobs of this version
  uint64_t new_bytes = 0;  // of the blobs that the earlier version does not have
};

// Writes the template into the layout, and reuses the packs of an earlier version in the same
// layout: of the manifest with the same tag, or else of the last manifest of a template. Each pack
// that is reused is read, and its digest is compared. The result depends only on the template, the
// earlier version and the version of libzstd.
//
// Throws base::Refused if the guest is not a template or the directory cannot be used,
// base::BadData, std::system_error. A directory then has its earlier versions only.
ExportReport export_template(const store::Store& store, const ExportRequest& request,
                             cloning::Progress& progress);

}  // namespace oci
