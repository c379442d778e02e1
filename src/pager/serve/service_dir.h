// SPDX-License-Identifier: Apache-2.0
// Where a service's sockets and records stand.
#pragma once

#include <string>

#include "base/fd.h"

namespace pager {

// Absolute paths: what a client is told must not depend on a directory of ours.
struct ServicePaths {
  std::string control;   // its socket
  std::string sessions;  // the directory of the sessions' sockets
  std::string pid_file;  // holds our number while we run; empty: none
};
// "s" beside the control socket.
ServicePaths own_layout(const std::string& control_path);
// As hypeman's pager: DATA_DIR/uffd/VERSION_KEY with control.sock, sessions/ and pager.pid. Throws
// base::UsageError for a key that is not a plain name of a directory.
ServicePaths hypeman_layout(const std::string& data_dir, const std::string& version_key);

// Makes the directory of the control socket and those above it, for the layout that has a pid file:
// its own is the service's. Throws std::system_error.
void make_control_dir(const ServicePaths& paths);

// Makes the sessions' directory, 0700, when it is missing, and locks it: it belongs to one server,
// whatever its control socket is called. Keep the descriptor. Throws base::Refused when another
// server has it or it belongs to another user, std::system_error.
base::Fd claim_sessions_dir(const std::string& dir);

// Removes what a server that was killed left there: sockets, and the records ("ID.vmm") of VMMs
// that have ended; the others name guests that hang. Call it only while holding the directory and
// the control socket. Throws std::system_error.
void remove_leftovers(const std::string& dir);

// Our number, in a file, until the end of this object.
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
