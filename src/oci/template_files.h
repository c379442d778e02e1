// SPDX-License-Identifier: Apache-2.0
// The files of a template, open and locked, as an export reads them.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/description.h"
#include "oci/manifest.h"
#include "store/files.h"
#include "store/store.h"

namespace oci {

// Holds the template's lock shared, so that no command changes or deletes it.
class TemplateFiles {
 public:
  // Takes the lock, which the caller has on `id`. Throws base::Refused if `id` is not a template or
  // is Stale.
  TemplateFiles(const store::Store& store, const std::string& id, store::GuestLocks lock);

  const std::string& id() const { return id_; }
  const Description& description() const { return description_; }
  const Annotations& annotations() const { return annotations_; }
  // The open file at this position of the description, and its path for messages.
  int fd(size_t file) const { return files_[file].get(); }
  const std::string& path(size_t file) const { return paths_[file]; }

  // Throws base::Refused if a file was changed since it was opened, although the lock forbids it.
  void require_unchanged() const;

 private:
  void open(const store::Store& store, const std::string& id, TemplateFile file);

  std::string id_;
  store::GuestLocks lock_;
  Description description_;
  Annotations annotations_;
  std::vector<base::Fd> files_;
  std::vector<std::string> paths_;
  std::vector<struct stat> opened_;
};

}  // namespace oci
