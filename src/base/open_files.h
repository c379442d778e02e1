// SPDX-License-Identifier: Apache-2.0
// Which processes have a file open: for messages that name who is in the way.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace base {

// One descriptor of a process on the file.
struct OpenFile {
  pid_t pid = 0;
  std::string fdinfo;  // /proc/PID/fdinfo/N (proc(5)): its flags, and the locks taken through it
};

// Every descriptor on the file that `file` (from stat(2)) stands for, in order of process numbers.
// A look at all of /proc, without a guarantee: processes come and go, and those of other users are
// seen only by root. Mappings whose descriptor is closed are not seen.
std::vector<OpenFile> find_open_files(const struct stat& file);

// Whether the descriptor was opened for writing.
bool is_writable(const OpenFile& open);

// The fdinfo of one descriptor of this process; empty text when it is not open on that file.
std::string own_fdinfo(int fd, const struct stat& file);

// The names in a directory that are numbers (the processes in /proc, the descriptors in its fd/);
// none when the directory is gone or may not be read.
std::vector<std::string> numeric_names(const std::string& path);

bool is_same_file(const struct stat& a, const struct stat& b);

}  // namespace base
