// SPDX-License-Identifier: Apache-2.0
// The jail of one VMM: its directory on the host, its files, its mounts.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/file_status.h"
#include "fc/vmm_directory.h"
#include "fc/vmm_request.h"

namespace fc {

class Jail {
 public:
  // Writes the record for undo_jail() into the VMM's directory; then creates the shared directory
  // and links it there as `jail`, and gives the files to the jail's user. Throws as check_jail()
  // does, base::Refused if another process uses the shared directory, base::UsageError if the path
  // of a socket is too long, std::system_error.
  Jail(const VmmRequest& request, const VmmDirectory& directory);

  // For the child that becomes the jailer: makes a mount namespace with the tmpfs over the guest's
  // directory, and in it the root of the jail with the files. Throws if a file has been replaced.
  void enter() const;

 private:
  void make_shared_directory();

  JailRequest request_;
  std::string root_;             // of the jail, as the jailer names it
  std::string vsock_directory_;  // empty without a vsock socket
  size_t tmpfs_bytes_ = 0;
  base::FileId base_;
  std::vector<base::FileId> files_;
  base::Fd shared_;  // has a flock, so that fsck does not take it for a leftover
};

// The path of a socket that the VMM makes in the directory that it shares with the host. Throws
// base::UsageError if it is too long.
std::string jail_socket(const std::string& vmm_directory, const std::string& name);

// The names of cgroups that the jailer may make for these arguments, and that do not exist.
std::vector<std::string> new_cgroups(const std::vector<std::string>& arguments,
                                     const std::string& program, const std::string& id);

}  // namespace fc
