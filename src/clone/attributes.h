// SPDX-License-Identifier: Apache-2.0
// Copies everything except contents: owner, mode, extended attributes with the ACLs, times.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <string>

namespace cloning {

// Sets the attributes of copies in one fixed order: owner (which clears set-id bits and
// capabilities), extended attributes, mode, times. An attribute that is right already is not set
// again: each change is a transaction of the filesystem. The immutable and append-only flags are
// not copied, because then nobody could write to the clone or remove it. Several threads may use
// one object.
class AttributeCopier {
 public:
  AttributeCopier();

  // For regular files and directories, after their contents are complete. `st` is the source's
  // status from before it was read, so that a copy of an older state has the older time.
  // `also_mode` is added to the mode. Throws std::system_error.
  void apply(int src, const struct stat& st, int dst, const std::string& dst_path,
             mode_t also_mode = 0);
  // For a symlink `name` in both directories.
  void apply_symlink(int src_dir, const struct stat& st, int dst_dir, const std::string& name,
                     const std::string& dst_path);

  // The number of attributes that the destination's filesystem does not support or that this
  // process lacks the privilege to set. The warning names the first of them.
  int64_t lost() const { return lost_; }
  const std::string& first_lost() const { return first_lost_; }
  // Warns about the attributes that were lost, and about chattr(1) flags that were not copied.
  void warn() const;

 private:
  void lose(const std::string& attribute, const std::string& dst_path);
  void note_flags(int src, const std::string& dst_path);
  // Returns whether it has set any attribute.
  template <typename List, typename Get, typename Set>
  bool copy_xattrs(List list, Get get, Set set, const std::string& dst_path);

  bool is_root_;
  std::mutex mutex_;  // guards the members below
  int64_t lost_ = 0;
  std::string first_lost_;
  int64_t flagged_ = 0;  // files that are immutable or append-only
  std::string first_flagged_;
};

// Removes the ACLs that a new file or directory inherited from the default ACL of its parent.
// Entries created in this directory then inherit none. Throws std::system_error.
void remove_inherited_acls(int fd, const std::string& path);

}  // namespace cloning
