// SPDX-License-Identifier: Apache-2.0
// What must be undone after a jail: kept in a file, so that another process can do it.
#pragma once

#include <sys/types.h>

#include <string>

namespace store {

// The name of the file in the VMM's directory.
inline constexpr const char* kUndo = "undo";

class JailUndo {
 public:
  // The file at `path` belongs to `uid` now, and to `owner` and `group` again at the end.
  void owner(const std::string& path, uid_t owner, gid_t group, uid_t uid);
  // A cgroup that the jailer makes.
  void cgroup(const std::string& path);
  // A directory tree.
  void tree(const std::string& path);

  // Writes the file. Nothing of it may be done before. Throws std::system_error.
  void write(int directory) const;

 private:
  std::string lines_;
};

// Whether a process holds the lock of the directory at `path`: then an fc-run shares it with a VMM
// that lives.
bool is_live_jail(const std::string& path);

// Undoes what the file in `directory` has, in its order, and removes it. Does nothing without such
// a file. All processes of the jail have ended: what its VMM could write to is not trusted, so
// links are not followed. A tree that is_live_jail() is not removed: the fc-run that wrote the file
// was refused it. Never throws; what fails is a warning, and the rest is still undone.
void undo_jail(int directory) noexcept;

}  // namespace store
