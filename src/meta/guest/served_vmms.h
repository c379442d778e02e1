// SPDX-License-Identifier: Apache-2.0
// Which VMMs the page servers of a store serve, or served when they were killed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/process_identity.h"
#include "store/store.h"

namespace meta {

// A record "SESSION.vmm" of a page server. It stands while the VMM is connected, and stays when the
// server is killed: then the VMM lives and hangs.
struct ServedVmm {
  std::string path;                           // of the record
  base::FoundProcess process{.alive = true};  // its pid is 0 when it cannot be determined
  uint64_t start_time = 0;                    // as recorded; 0: not known
};

// The directories of records are read once, by the constructor; a record when it is asked for.
class ServedVmms {
 public:
  // The records beside the control socket (run_dir.h), and those of hypeman's layout in the store.
  explicit ServedVmms(const store::Store& store);

  // The records of the guest `id` that name a live process, or cannot be read. Its sessions are
  // ID@HHHHHHHH (store::session_name), with ".old-N" when another session took the name; in
  // hypeman's layout ID.
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
