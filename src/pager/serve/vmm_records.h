// SPDX-License-Identifier: Apache-2.0
// Files that outlive a killed server: each names a VMM that was served, and whose guest hangs then.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/log_limit.h"
#include "base/process_identity.h"

namespace pager {

// "DIR/ID.vmm" (store/vmm_record.h), while a VMM is served. If an earlier server's record of that
// name names a VMM that still lives, it is kept as "DIR/ID.PID.vmm", or as "DIR/ID.PID~N.vmm" if
// that name is taken, and removed when a VMM comes or goes after that one has ended. No record of a
// VMM that lives is ever replaced.
class VmmRecords {
 public:
  struct Record {
    pid_t pid = 0;
    uint64_t start_time = 0;
  };
  // Does nothing for an empty directory.
  explicit VmmRecords(std::string dir);

  // False when it could not be written (a full disk), which is logged.
  bool write(const std::string& id, Record vmm);
  // Whether no record has this id.
  bool is_free(const std::string& id) const;
  // To an id that is free.
  void rename(const std::string& id, const std::string& to);
  void remove(const std::string& id);

  // The id of the session that a record was made for, whose file's name without ".vmm" is `name`.
  static std::string session_of(const std::string& name, const base::ProcessIdentity& record);
  // Whether the file `record` names a process that runs now. What cannot be read or determined
  // counts as living.
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
