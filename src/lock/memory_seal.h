// SPDX-License-Identifier: Apache-2.0
// The seal on a template's memory: no process writes to it now, and none can by accident.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/effect.h"
#include "store/store.h"

namespace lock {

struct SealReport {
  std::string path;     // the path of the memory file
  mode_t old_mode = 0;  // permission bits before the call
  mode_t new_mode = 0;  // permission bits after it (in a dry run: those that it would set)
  nlink_t links = 0;
  bool lease_checked = false;  // false if the filesystem has no leases
};

// A file is sealed if its mode has no write bits. Sealing removes the write bits durably (0644
// becomes 0444, 0600 becomes 0400) and proves by a read lease that no process has the file open for
// writing: the kernel grants the lease only if no descriptor and no mapping writes to the file
// (fcntl(2)). A seal does not stop root from opening the file later; it stops accidents. Sealing a
// sealed file repeats the proof.
//
// Throws base::Refused if the guest or its memory file does not exist; if a process has the file
// open for writing (the message names it if it is visible); or if an unsealed file has more than
// one link, because another guest may then write to it. The mode is then unchanged. Throws
// std::system_error. The caller holds the exclusive lock on the id.
SealReport seal_memory(const store::Store& store, std::string_view id, base::Effect effect);

// Gives the owner the write permission. Throws base::Refused as above, and also for a template, for
// a guest with forks, and for a file with more than one link. The caller holds the exclusive lock
// on the id.
SealReport unseal_memory(const store::Store& store, std::string_view id, base::Effect effect);

}  // namespace lock
