// SPDX-License-Identifier: Apache-2.0
// Finds the processes that use the files of a guest.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_status.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// Whether a process of this name (base::process_name) serves memory: uffd-serve, the keeper of its
// descriptors, or hypeman's page server, whose name contains "uffd-pager".
bool is_page_server(std::string_view process_name);

struct FileUser {
  std::string path;
  pid_t pid = 0;  // 0: the process is not visible in this PID namespace
};

// The files in the guest's directory that a VMM writes: those of snapfork.disks. If that record is
// missing or cannot be read, every regular file beside the metadata and one directory below counts.
// The result may contain files that do not exist.
std::vector<std::string> writable_disks(const store::Store& store, const std::string& id,
                                        const Metadata& metadata);

// A process that has one of `files` open for writing. Returns nothing if no process has. A read
// lease decides (file::FileLease), so processes of other PID namespaces and loop devices count.
// /proc is searched only for the pid, and if the filesystem does not support leases.
std::optional<FileUser> find_writer(const std::vector<std::string>& files);

// A process that has a regular file below `dir` open. A file with several links may belong to
// another guest too, so only a writer of it counts. Page servers and the programs of this suite do
// not count as readers.
std::optional<FileUser> find_user(const std::string& dir);

// The processes that have memory files of guests open, except page servers and the programs of this
// suite. The constructor searches all of /proc once. A VMM that maps its memory file keeps the file
// open. Page servers have records of their own (served_vmms.h).
class MemoryUsers {
 public:
  MemoryUsers();
  // The process that has the memory file of `id` open. Forks of a template share the file, so for
  // them the path decides under which the process opened it.
  std::optional<FileUser> of(const store::Store& store, const std::string& id) const;

 private:
  struct Entry {
    base::FileId id;
    std::string path;  // as /proc shows it
    pid_t pid;
  };
  std::vector<Entry> entries_;
};

// "process 12 (firecracker)", or "a process that is not visible here" for 0.
std::string process_text(pid_t pid);

}  // namespace meta
