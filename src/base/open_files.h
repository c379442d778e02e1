// SPDX-License-Identifier: Apache-2.0
// The processes that have a file open: for messages that name the process in the way.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace base {

// One descriptor of a process that is open on the file.
struct OpenFile {
  pid_t pid = 0;
  std::string fdinfo;  // /proc/PID/fdinfo/N (proc(5)): flags, and the locks held through it
};

// Returns every descriptor on the file that `file` (from stat(2)) identifies, in order of pids. The
// scan of /proc is a snapshot without a guarantee: processes start and end, and only root sees
// those of other users. A mapping whose descriptor is closed is not found.
std::vector<OpenFile> find_open_files(const struct stat& file);

// Returns whether the descriptor was opened for writing.
bool is_writable(const OpenFile& open);

// Returns the fdinfo of one descriptor of this process; empty if it is not open on that file.
std::string own_fdinfo(int fd, const struct stat& file);

// Returns the names in a directory that are numbers (the processes in /proc, the descriptors in its
// fd/); empty if the directory does not exist or is not readable.
std::vector<std::string> numeric_names(const std::string& path);

}  // namespace base
