// SPDX-License-Identifier: Apache-2.0
// Decides whether a guest runs: whether any process is its VMM. Every program uses this function.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "meta/guest/guest_files.h"
#include "meta/guest/metadata.h"
#include "meta/guest/recorded_vmm.h"
#include "meta/guest/served_vmms.h"
#include "store/store.h"

namespace meta {

struct LiveVmm {
  pid_t pid = 0;       // 0: the process is not visible in this PID namespace
  std::string reason;  // "process 12 (firecracker) is connected to the page server"
};

// Whether check 6 below is made. It takes some milliseconds, so a flow makes it once under the lock
// of a guest.
enum class SearchProc { no, yes };

// A guest has a live VMM if one of these is true, checked in this order:
//
// 1. A page server has a record of a live VMM of the guest.
// 2. A process listens on the guest's API socket.
// 3. The recorded process is alive.
// 4. A process has one of the guest's disks open for writing.
// 5. A process listens on the guest's vsock socket, in its directory or in the run directory.
// 6. If the guest has no disks: a process has its memory file open.
//
// What cannot be read or determined counts as a live VMM.
//
// One object can be used for many guests. It reads the directories of the records once, and /proc
// at most once, except to find the pid of a writer.
class VmmFinder {
 public:
  explicit VmmFinder(const store::Store& store, SearchProc search = SearchProc::yes)
      : store_(store), search_(search) {}

  // Returns nothing if no process is the guest's VMM.
  std::optional<LiveVmm> find(const std::string& id, const Metadata& metadata);
  // For a guest whose metadata.json is damaged or missing. Searches the damaged text for the
  // recorded VMM. In addition, a process that has any file of the guest open counts as its VMM.
  std::optional<LiveVmm> find_without_metadata(const std::string& id);

  // The processes that are certainly the guest's VMM or the command that started it: the processes
  // of the page servers' records and the recorded process, if pid and start time match. `recorded`
  // comes from the metadata or from damaged text.
  std::vector<base::ProcessIdentity> certain_processes(const std::string& id,
                                                       const RecordedVmm& recorded);

 private:
  const ServedVmms& served();
  std::optional<LiveVmm> find_recorded(const std::string& id, const RecordedVmm& recorded);

  const store::Store& store_;
  SearchProc search_;
  std::optional<ServedVmms> served_;
  std::optional<MemoryUsers> memory_users_;
};

// The recorded VMM in a guest's metadata, or in their text if they are damaged. Empty if the guest
// has no metadata.json. Throws std::system_error if the file cannot be read.
RecordedVmm recorded_vmm_of_guest(const store::Store& store, const std::string& id);

}  // namespace meta
