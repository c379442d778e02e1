// SPDX-License-Identifier: Apache-2.0
// Files that name the VMMs that are served. They outlive a killed server, whose guests then hang.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/log_limit.h"
#include "base/process_identity.h"

namespace pager {

// The file "DIR/ID.vmm" (store/vmm_record.h) exists while a VMM is served. If an earlier server's
// record of that name names a VMM that still lives, it is renamed to "DIR/ID.PID.vmm", or to
// "DIR/ID.PID~N.vmm" if that name is taken. It is removed at the next write or removal of a record
// after its VMM has ended. The record of a living VMM is never replaced.
class VmmRecords {
 public:
  struct Record {
    pid_t pid = 0;
    uint64_t start_time = 0;
  };
  // Does nothing for an empty directory.
  explicit VmmRecords(std::string dir);

  // Returns false, and logs the reason, if the record could not be written (a full disk).
  bool write(const std::string& id, Record vmm);
  // Returns whether no record has this id.
  bool is_free(const std::string& id) const;
  // `to` must be free.
  void rename(const std::string& id, const std::string& to);
  void remove(const std::string& id);

  // The session id of a record. `name` is the file name without ".vmm".
  static std::string session_of(const std::string& name, const base::ProcessIdentity& record);
  // Returns whether the file `record` names a running process. A record that cannot be read or
  // resolved counts as running.
  static bool names_living_process(const std::string& record);

 private:
  std::string path(const std::string& id) const { return dir_ + "/" + id + ".vmm"; }
  void keep_earlier(const std::string& id);
  void drop_ended();

  std::string dir_;
  base::ProcessIdentity here_;     // the boot and the PID namespace of this server
  std::vector<std::string> kept_;  // files of earlier servers
  base::LogLimit failures_{1, std::chrono::minutes(1)};
};

}  // namespace pager
