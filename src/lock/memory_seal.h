// SPDX-License-Identifier: Apache-2.0
// The seal on a template's memory: nobody writes it by accident, and nobody is writing it now.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "store/store.h"

namespace lock {

struct SealReport {
  std::string path;     // the memory file
  mode_t old_mode = 0;  // permission bits before
  mode_t new_mode = 0;  // and now (or, in a dry run, as they would be)
  nlink_t links = 0;
  bool lease_checked = false;  // false: the filesystem has no leases
};

enum class DryRun { no, yes };

// A file is sealed when its mode lets nobody write. Sealing takes the write bits away (0644 becomes
// 0444, 0600 becomes 0400), durably, and proves by a read lease, which the kernel grants only when
// no descriptor and no mapping writes to the file, that no writer has it open (fcntl(2)). It does
// not stop root from opening it later: that is what "by accident" means. Sealing a sealed file
// repeats the proof.
//
// Throws base::Refused when there is no such guest or it has no memory file, when a writer has it
// open (named where it can be seen), and when a file that is not sealed has more than one link:
// then another guest may write to it; the mode is then as before. Throws std::system_error. The
// caller holds the exclusive lock on the id.
SealReport seal_memory(const store::Store& store, std::string_view id, DryRun dry_run);

// Gives the owner the right to write back. Throws base::Refused, besides the above, for a template,
// for what forks live on, and for a file with more than one link. The caller holds the exclusive
// lock on the id.
SealReport unseal_memory(const store::Store& store, std::string_view id, DryRun dry_run);

}  // namespace lock
