// SPDX-License-Identifier: Apache-2.0
// Flushes several new files together.
#pragma once

#include <string>
#include <vector>

namespace file {

// Makes regular files and then directories durable that were written on one filesystem: contents,
// names, and all that was changed on the filesystem before, as far as fsync(2) of each would.
// Throws std::system_error.
//
// On XFS and ext4 this takes one flush of the device: the data of all files is written first, which
// also puts their extents into the journal, and one fsync of the last file then flushes the device
// and writes the journal up to that file. The fsync of each directory finds nothing to do.
//
// Other filesystems, such as btrfs, write only what belongs to the one file of an fsync. There, all
// files and directories are flushed at the same time, by threads, and btrfs writes the logs of
// concurrent calls together: 4 flushes of the device for 60 files, instead of 120 one after the
// other (Linux 6.18).
void sync_files(const std::vector<std::string>& files, const std::vector<std::string>& directories);

}  // namespace file
