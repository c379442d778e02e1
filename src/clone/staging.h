// Building a destination where nobody sees it, and publishing it in one step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/atomic_file.h"
#include "base/fd.h"

namespace cloning {

// Where a destination is to stand: an open parent directory and a name in it.
class Place {
 public:
  // Splits `path`, trailing slashes aside. Throws UsageError for a path that names no new entry
  // ("",
  // "/", "x/.."), std::system_error when the parent cannot be opened.
  explicit Place(const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& name() const { return name_; }
  // base::temporary_name of the name.
  const std::string& temporary() const { return temporary_; }
  int parent() const { return parent_.get(); }

  // Throws Refused "... already exists" when something stands there, be it a dangling symlink.
  void require_free() const;
  // Whether the place is in the directory that `dir` is open on, at any depth.
  bool is_inside(int dir) const;
  // Takes away what a killed run left under the temporary name. Throws Refused when a run that
  // lives is at work there: the temporary belongs to whoever holds its flock.
  void remove_leftover() const;
  // fsync of the parent. Throws std::system_error.
  void sync_parent() const;

 private:
  std::string path_;
  std::string name_;
  std::string temporary_;
  base::Fd parent_;
};

// A regular file under construction: unnamed (O_TMPFILE) where the filesystem can, so that a kill
// leaves nothing at all; else under the temporary name. Mode 0600, no ACL. Destroyed unpublished,
// it is gone.
class StagedFile {
 public:
  // Removes a leftover first. `place` must outlive the object.
  explicit StagedFile(const Place& place);
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  StagedFile(StagedFile&&) = delete;
  StagedFile& operator=(StagedFile&&) = delete;
  ~StagedFile();

  int fd() const { return fd_.get(); }
  // Gives the file its name, in one step. Durable::yes: flushed before, and the directory after.
  // Throws Refused when the name has been taken meanwhile, std::system_error.
  void publish(base::Durable durable);
  // The same, instead of the file that has the name now.
  void replace(base::Durable durable);

 private:
  void create_named();
  void sync(base::Durable durable) const;
  bool link_to(const std::string& name) const;

  const Place& place_;
  base::Fd fd_;
  bool named_ = false;  // the temporary name is this file's
};

// A directory under construction, under the temporary name, 0700, no ACL, locked. Destroyed
// unpublished, it is removed with all in it; killed, it is left for the next run.
class StagedDirectory {
 public:
  explicit StagedDirectory(const Place& place);
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;
  StagedDirectory(StagedDirectory&&) = delete;
  StagedDirectory& operator=(StagedDirectory&&) = delete;
  ~StagedDirectory();

  int fd() const { return fd_.get(); }
  // renameat2(RENAME_NOREPLACE) to the name. Durable::yes: everything in it is flushed before, and
  // the parent after. Throws Refused when the name has been taken, Unsupported where the filesystem
  // lacks that rename, std::system_error.
  void publish(base::Durable durable);

 private:
  const Place& place_;
  base::Fd fd_;
  bool published_ = false;
};

}  // namespace cloning
