// Files that outlive a killed server: each names a VMM that was served, and whose guest hangs then.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "pager/vmm.h"

namespace pager {

// "DIR/ID.vmm" with "PID STARTTIME", while a VMM is served. Without one it is served all the same.
class VmmRecords {
 public:
  // Does nothing for an empty directory.
  explicit VmmRecords(std::string dir) : dir_(std::move(dir)) {}

  void write(const std::string& id, const Vmm& vmm) const;
  void rename(const std::string& id, const std::string& to) const;
  void remove(const std::string& id) const;

  // Whether the file `record` names a process that runs now. What cannot be read counts as living.
  static bool names_living_process(const std::string& record);

 private:
  std::string path(const std::string& id) const { return dir_ + "/" + id + ".vmm"; }

  std::string dir_;
};

}  // namespace pager
