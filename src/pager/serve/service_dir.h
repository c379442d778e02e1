// SPDX-License-Identifier: Apache-2.0
// The paths of a service's sockets and records, and exclusive use of their directory.
#pragma once

#include <set>
#include <string>

#include "base/fd.h"

namespace pager {

// Absolute paths: a reply must not depend on the server's working directory.
struct ServicePaths {
  std::string control;   // the control socket
  std::string sessions;  // the directory of the sessions' sockets
  std::string pid_file;  // holds the server's pid while it runs; empty: none
};
// The sessions' directory is "s", next to the control socket.
ServicePaths own_layout(const std::string& control_path);
// The layout of hypeman's pager: DATA_DIR/uffd/VERSION_KEY with control.sock, sessions/ and
// pager.pid. Throws base::UsageError if the key is not a plain directory name.
ServicePaths hypeman_layout(const std::string& data_dir, const std::string& version_key);

// Creates the directory of the control socket and its parents, only for the layout that has a pid
// file. Throws std::system_error.
void make_control_dir(const ServicePaths& paths);

// Creates the sessions' directory (mode 0700) if it is missing, and locks it: one server owns it,
// whatever the name of the control socket is. Keep the descriptor open. Throws base::Refused if
// another server or another user owns it, std::system_error.
base::Fd claim_sessions_dir(const std::string& dir);

// Removes the leftovers of a killed server: sockets, states, and the records ("ID.vmm") of VMMs
// that have ended. The other records name guests that hang and are kept, as are the files whose
// names are in `in_use`. Call it only while holding the directory and the control socket. Throws
// std::system_error.
void remove_leftovers(const std::string& dir, const std::set<std::string>& in_use);

// A file with the server's pid. It exists as long as this object.
class PidFile {
 public:
  // Does nothing for an empty path. Throws std::system_error.
  explicit PidFile(std::string path);
  ~PidFile();
  PidFile(const PidFile&) = delete;
  PidFile(PidFile&&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  PidFile& operator=(PidFile&&) = delete;

 private:
  std::string path_;
};

}  // namespace pager
