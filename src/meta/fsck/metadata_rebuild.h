// SPDX-License-Identifier: Apache-2.0
// Rebuilds the metadata of a guest whose metadata.json is damaged, from the rest of the store.
#pragma once

#include <string>

#include "store/store.h"

namespace meta {

// Gives the damaged file the second name "metadata.json.damaged-N", writes new metadata durably,
// and returns a description of them. The caller holds the exclusive lock.
//
// If the index of a template has the guest, the guest becomes a fork, as when it was published. If
// its memory is sealed and has an image.json, or it has live forks, it becomes a template. Any
// other guest gets the metadata that `init` writes. Its disks are not known then.
//
// Throws base::Refused and changes nothing if the guest may be running (a process has its files
// open, or the process in the damaged text is alive), or if two templates have it as a fork.
std::string rebuild_metadata(const store::Store& store, const std::string& id);

}  // namespace meta
