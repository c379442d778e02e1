// SPDX-License-Identifier: Apache-2.0
// Which processes use the files of a guest.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

struct FileUser {
  std::string path;
  pid_t pid = 0;  // 0: it cannot be seen from here
};

// The files in the guest's directory that a VMM writes: those of snapfork.disks; for a guest
// without that record, or with one that cannot be read, every regular file beside the metadata,
// also one directory below. Missing files are in it.
std::vector<std::string> writable_disks(const store::Store& store, const std::string& id,
                                        const Metadata& metadata);

// A process that has one of `files` open for writing; nothing when there is none. A read lease
// decides (file::FileLease), so that processes of other PID namespaces and loop devices count;
// /proc is searched only for the name, and where the filesystem has no leases.
std::optional<FileUser> find_writer(const std::vector<std::string>& files);

// A process that has a regular file below `dir` open in any way. Files with several links are other
// guests' as well and do not count. Page servers and the programs of this suite do not count.
std::optional<FileUser> find_user(const std::string& dir);

// The processes that have memory files of guests open, found once in all of /proc by the
// constructor, without page servers and the programs of this suite. (A VMM whose memory is its file
// keeps that open; page servers are known better by their own records.)
class MemoryUsers {
 public:
  MemoryUsers();
  // Forks of a template share the file, so that of those the path decides under which it was
  // opened.
  std::optional<FileUser> of(const store::Store& store, const std::string& id) const;

 private:
  struct Entry {
    dev_t device;
    ino_t inode;
    std::string path;  // as /proc shows it
    pid_t pid;
  };
  std::vector<Entry> entries_;
};

// "process 12 (firecracker)", or "a process that cannot be seen" for 0.
std::string process_text(pid_t pid);

}  // namespace meta
