// SPDX-License-Identifier: Apache-2.0
// New metadata for a guest whose own cannot be read any more, from what else the store knows of it.
#pragma once

#include <string>

#include "store/store.h"

namespace meta {

// Gives the damaged file a second name beside it, "metadata.json.damaged-N", writes metadata anew,
// durably, and returns what is now in it, for people. The caller holds the exclusive lock.
//
// A fork of a template whose index has an entry for it becomes what it was when it was published. A
// guest with a record of a sealed memory, or with live forks, is a template. All else is as `init`
// makes it; its disks stay unknown.
//
// Throws base::Refused, and changes nothing, when the guest may be running (a process has its files
// open, or the damaged text names one that lives), and when two templates count it.
std::string rebuild_metadata(const store::Store& store, const std::string& id);

}  // namespace meta
