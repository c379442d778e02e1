// SPDX-License-Identifier: Apache-2.0
// Finds the VMMs that the page servers of a store serve, or served when they were killed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/process_identity.h"
#include "store/store.h"

namespace meta {

// A record "SESSION.vmm" of a page server. It exists while the VMM is connected. If the server is
// killed, the record remains, and the VMM hangs at its next fault.
struct ServedVmm {
  std::string path;                           // of the record
  base::FoundProcess process{.alive = true};  // the pid is 0 if it cannot be determined
  uint64_t start_time = 0;                    // as recorded; 0 if not known
};

// The constructor reads the directories of records once. of() reads the records themselves.
class ServedVmms {
 public:
  // Uses the records next to the control socket (run_dir.h) and those of hypeman's layout in the
  // store.
  explicit ServedVmms(const store::Store& store);

  // The records of the guest `id` whose process is alive, or that cannot be read. Its session is
  // ID@HHHHHHHH (store::session_name), with ".old-N" if another session has taken the name, or ID
  // in hypeman's layout.
  std::vector<ServedVmm> of(const std::string& id) const;

 private:
  struct Directory {
    std::string path;
    std::vector<std::string> names;  // sorted
    bool is_readable;
    bool has_bare_ids;  // hypeman's layout
  };
  void add(const std::string& path, bool has_bare_ids);
  static void find(const Directory& directory, const std::string& session,
                   std::vector<ServedVmm>& found);

  store::Store store_;
  std::vector<Directory> directories_;
};

}  // namespace meta
