// SPDX-License-Identifier: Apache-2.0
// One change of a guest's metadata at a time, also under one inherited lock.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/store.h"

namespace meta {

// Processes that inherited the same lock do not exclude each other by it. While an object of this
// class lives, no other one of the guest does (flock on its directory): read the metadata, change
// and write them in that time, and no update of another process is lost. The caller holds the
// guest's lock. Throws base::Refused after 10 s; does nothing where the filesystem has no flock.
class MetadataUpdate {
 public:
  MetadataUpdate(const base::Store& store, const std::string& id);

 private:
  base::Fd dir_;
};

}  // namespace meta
