// SPDX-License-Identifier: Apache-2.0
// The jail of a VMM: what Firecracker's jailer is called with, and the files that it is given.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace fc {

struct JailFile {
  enum class Access {
    write,  // belongs to the jail's user while the VMM lives
    read,   // the same, but the VMM cannot write to it
    show,   // keeps its owner; the VMM cannot write to it. A socket can be connected to
  };
  std::string path;  // absolute; the same in the jail
  Access access = Access::show;
};

// The root of the jail is in a tmpfs that only the jail's mount namespace has, so it ends with the
// VMM, whatever ends first. The files are mounted in it, each at its own path.
struct JailRequest {
  std::string program;                 // the jailer
  std::vector<std::string> arguments;  // more options for it
  uid_t uid = 0;
  gid_t gid = 0;
  std::string base;    // the guest's directory, where the tmpfs is mounted
  std::string shared;  // a directory of the host that the VMM can write to, for its sockets
  std::vector<JailFile> files;
};

// Where the VMM sees `shared`; also the name of a link to it in the VMM's directory.
inline constexpr const char* kInsideShared = "/jail";
inline constexpr const char* kSharedLink = "jail";

// A number from 1 to 4294967294. Throws base::UsageError.
uid_t parse_jail_uid(const std::string& option, const std::string& text);

// Throws for a jail that cannot be made: base::Refused if this process is not root, if a file is
// not of the kind that it must be, or if other names of a file exist (it would be given away);
// base::UsageError for an option of the jailer that fc-run gives itself or that it cannot watch.
void check_jail(const JailRequest& request);

// The words that start the jailer: `program` is the VMM, `id` its id, `more` its arguments.
std::vector<std::string> jailer_words(const JailRequest& request, const std::string& program,
                                      const std::string& id, const std::string& netns_path,
                                      const std::vector<std::string>& more);

// The absolute path of the VMM, without links: the jailer names its directories after it.
std::string resolved_program(const std::string& program);

}  // namespace fc
