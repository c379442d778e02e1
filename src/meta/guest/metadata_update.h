// SPDX-License-Identifier: Apache-2.0
// Serializes changes of a guest's metadata, also between processes that inherited the same lock.
#pragma once

#include <functional>
#include <string>

#include "base/atomic_file.h"
#include "base/effect.h"
#include "base/fd.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// Processes that inherited the same lock do not exclude each other. While an object of this class
// exists, no other process has one for the same guest (flock(2) on its directory). A process that
// reads, changes and writes the metadata in that time loses no update of another process. The
// caller holds the guest's lock. Throws base::Refused after 10 s. Does nothing if the filesystem
// does not support flock(2).
class MetadataUpdate {
 public:
  MetadataUpdate(const store::Store& store, const std::string& id);

 private:
  base::Fd dir_;
};

// Reads a guest's metadata, calls `change`, and writes the metadata back, all under the
// guest's exclusive lock and in one MetadataUpdate. `change` throws to refuse. A dry run reads the
// metadata and calls `change`, but does not write.
void change_metadata(const store::Store& store, const std::string& id, base::Effect effect,
                     const std::function<void(Metadata&)>& change,
                     base::Durable durable = base::Durable::yes);

}  // namespace meta
