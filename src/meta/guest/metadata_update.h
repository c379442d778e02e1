// SPDX-License-Identifier: Apache-2.0
// One change of a guest's metadata at a time, also under one inherited lock.
#pragma once

#include <functional>
#include <string>

#include "base/fd.h"
#include "meta/guest/metadata.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

// Processes that inherited the same lock do not exclude each other by it. While an object of this
// class lives, no other one of the guest does (flock on its directory): read the metadata, change
// and write them in that time, and no update of another process is lost. The caller holds the
// guest's lock. Throws base::Refused after 10 s; does nothing where the filesystem has no flock.
class MetadataUpdate {
 public:
  MetadataUpdate(const store::Store& store, const std::string& id);

 private:
  base::Fd dir_;
};

// Reads a guest's metadata, changes them by `change`, and writes them back durably, all under the
// guest's exclusive lock and in one MetadataUpdate. A dry run only reads and calls `change`, which
// throws what is to be refused.
void change_metadata(const store::Store& store, const std::string& id, store::Effect effect,
                     const std::function<void(Metadata&)>& change);

}  // namespace meta
