// SPDX-License-Identifier: Apache-2.0
// Opens the files that a VMM gets in its jail.
#pragma once

#include <sys/stat.h>

#include <vector>

#include "base/fd.h"
#include "fc/jail_request.h"

namespace fc {

struct OpenJailFile {
  base::Fd fd;  // O_PATH
  struct stat status {};
};

struct OpenJailFiles {
  base::Fd base;                    // O_PATH, the guest's directory
  std::vector<OpenJailFile> files;  // in the order of the request
};

// A file that is given is a regular file below the guest's directory, reached without links, with
// one name: a file with other names would be given away with them. Throws base::Refused for any
// other, base::UsageError for a path that is not absolute, std::system_error.
OpenJailFiles open_jail_files(const JailRequest& request);

}  // namespace fc
