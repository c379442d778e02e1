// SPDX-License-Identifier: Apache-2.0
// Whether a guest runs: whether any process is its VMM. Every program asks here.
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
  pid_t pid = 0;       // 0: it cannot be seen from here
  std::string reason;  // "process 12 (firecracker) is connected to the page server"
};

// In this order: a page server has a record of a live VMM of the guest; a process listens on its
// API socket; the recorded process lives; a process has one of its disks open for writing, or its
// memory file open when it has no disks. What cannot be read or determined counts as a live VMM.
//
// One object may be asked about many guests: it reads the records' directories once, and /proc at
// most once unless it names a writer.
class VmmFinder {
 public:
  explicit VmmFinder(const store::Store& store) : store_(store) {}

  // Nothing when no process is the guest's VMM.
  std::optional<LiveVmm> find(const std::string& id, const Metadata& metadata);
  // For a guest whose metadata.json is damaged or missing. Its text is searched for what it
  // recorded. Besides, a process that has any file of the guest open counts as its VMM.
  std::optional<LiveVmm> find_without_metadata(const std::string& id);

  // The processes that are certainly the guest's VMM or the command that was started for it: those
  // of the page servers' records and the recorded one, where number and start time agree.
  // `recorded` is from the metadata or from damaged text.
  std::vector<base::ProcessIdentity> certain_processes(const std::string& id,
                                                       const RecordedVmm& recorded);

 private:
  const ServedVmms& served();
  std::optional<LiveVmm> find_recorded(const std::string& id, const RecordedVmm& recorded);

  const store::Store& store_;
  std::optional<ServedVmms> served_;
  std::optional<MemoryUsers> memory_users_;
};

// recorded_vmm of a guest's metadata, or of its text when that is damaged. Throws std::system_error
// when it cannot be read; for a guest without metadata.json the answer is empty.
RecordedVmm recorded_vmm_of_guest(const store::Store& store, const std::string& id);

}  // namespace meta
