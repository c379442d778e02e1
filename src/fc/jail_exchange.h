// SPDX-License-Identifier: Apache-2.0
// Moves files of a snapshot into the jail of a VMM, and back.
#pragma once

#include <string>

namespace fc {

// All functions take the directory of a VMM that runs in a jail; they throw base::Refused if it
// does not, and std::system_error. A file keeps its name; the VMM sees it as /jail/NAME.

// Moves a regular file with one name into the directory that the VMM shares with the host, and
// gives it to the user of the jail.
void move_into_jail(const std::string& vmm_directory, const std::string& path);
// Moves a file from there to `path`, which must not exist, and gives it to this user. The VMM may
// still have it open. Throws base::Refused if it is not a regular file with one name that belongs
// to the user of the jail.
void move_from_jail(const std::string& vmm_directory, const std::string& path);
// The same for a file of at most 64 MiB, by a copy: the VMM cannot change it afterward.
void copy_from_jail(const std::string& vmm_directory, const std::string& path);

}  // namespace fc
