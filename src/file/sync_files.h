// SPDX-License-Identifier: Apache-2.0
// Flushes several new files together.
#pragma once

#include <string>
#include <vector>

namespace file {

// Makes files durable that were written on one filesystem, in this order: contents, names, and all
// that was changed on the filesystem before, as far as fsync(2) of each file would. Throws
// std::system_error.
//
// On XFS and ext4 this takes one flush of the device for all files: their data is written first,
// which also puts their extents into the journal, and one fsync of the last file then flushes the
// device and writes the journal up to that file. On other filesystems, such as btrfs, whose fsync
// writes only what belongs to one file, each file is flushed by itself.
void sync_files(const std::vector<std::string>& paths);

}  // namespace file
