// SPDX-License-Identifier: Apache-2.0
// What a copy keeps besides contents: owner, mode, extended attributes with the ACLs, times.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <string>

namespace cloning {

// Gives copies the attributes of their sources, in one fixed order: owner (which clears set-id bits
// and capabilities), extended attributes, mode, times. What is right already is not set again: each
// change is a transaction of the filesystem. The immutable and append-only flags are not copied:
// nobody could write to the clone or remove it. Several threads may use one object.
class AttributeCopier {
 public:
  AttributeCopier();

  // For regular files and directories, after their contents. `st` is the source's from before it
  // was read, so that a copy which is older than a late change looks older. `also_mode` is added to
  // the mode. Throws std::system_error.
  void apply(int src, const struct stat& st, int dst, const std::string& dst_path,
             mode_t also_mode = 0);
  // For a symlink `name` in the two directories.
  void apply_symlink(int src_dir, const struct stat& st, int dst_dir, const std::string& name,
                     const std::string& dst_path);

  // Attributes that the destination's filesystem, or our missing privilege, did not take;
  // `first_lost` names one.
  int64_t lost() const { return lost_; }
  const std::string& first_lost() const { return first_lost_; }
  // Says what was lost, and that flags of chattr(1) were not copied.
  void warn() const;

 private:
  void lose(const std::string& attribute, const std::string& dst_path);
  void note_flags(int src, const std::string& dst_path);
  // Returns whether any was set.
  template <typename List, typename Get, typename Set>
  bool copy_xattrs(List list, Get get, Set set, const std::string& dst_path);

  bool is_root_;
  std::mutex mutex_;  // of what follows
  int64_t lost_ = 0;
  std::string first_lost_;
  int64_t flagged_ = 0;  // immutable or append-only
  std::string first_flagged_;
};

// Takes away the ACLs that a new file or directory got from its parent's default ACL. Children of a
// directory treated so inherit none. Throws std::system_error.
void remove_inherited_acls(int fd, const std::string& path);

}  // namespace cloning
