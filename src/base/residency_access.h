// SPDX-License-Identifier: Apache-2.0
// Whether the kernel reports to this process which pages of a file are in the page cache.
#pragma once

namespace base {

// mincore(2) reports every page as cached to a process that neither owns the file nor may write to
// it, even if the process has opened it (can_do_mincore in the kernel). Returns false for such a
// file, and if the file cannot be inspected.
bool may_use_mincore(int fd);

}  // namespace base
