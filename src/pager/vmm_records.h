// Files that outlive a killed server: each names a VMM that was served, and whose guest hangs then.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log_limit.h"

namespace pager {

// "DIR/ID.vmm" with "PID STARTTIME", while a VMM is served. Where an earlier server's record of
// that name names a VMM that still lives, it is kept as "DIR/ID.PID.vmm" and removed when a VMM
// comes or goes after that one has ended.
class VmmRecords {
 public:
  struct Record {
    pid_t pid = 0;
    uint64_t start_time = 0;
  };
  // Does nothing for an empty directory.
  explicit VmmRecords(std::string dir) : dir_(std::move(dir)) {}

  // False when it could not be written (a full disk), which is logged.
  bool write(const std::string& id, Record vmm);
  void rename(const std::string& id, const std::string& to) const;
  void remove(const std::string& id);

  // What the file at `path` holds; nothing when it is gone. Throws base::BadData for what is not a
  // record, std::system_error.
  static std::optional<Record> read(const std::string& path);
  // The id of the session that a record was made for, whose file's name without ".vmm" is `name`.
  static std::string session_of(const std::string& name, const Record& record);
  // Whether the file `record` names a process that runs now. What cannot be read counts as living.
  static bool names_living_process(const std::string& record);

 private:
  std::string path(const std::string& id) const { return dir_ + "/" + id + ".vmm"; }
  void keep_earlier(const std::string& id);
  void drop_ended();

  std::string dir_;
  std::vector<std::string> kept_;  // files of earlier servers
  base::LogLimit failures_{1, std::chrono::minutes(1)};
};

}  // namespace pager
