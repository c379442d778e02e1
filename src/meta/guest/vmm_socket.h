// SPDX-License-Identifier: Apache-2.0
// Checks that an API socket which a caller names is that of a guest's VMM.
#pragma once

#include <sys/types.h>

#include <string>

#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// Returns the process that listens at `socket`. Throws base::Refused unless it is the guest's VMM:
// the recorded process or one that a page server serves for the guest, or it has a disk of the
// guest open for writing, or the guest's memory file. A snapshot that the VMM of another guest
// writes would replace the guest's.
pid_t require_own_vmm(const store::Store& store, const std::string& id, const Metadata& metadata,
                      const std::string& socket);

}  // namespace meta
