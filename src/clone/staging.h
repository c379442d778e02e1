// SPDX-License-Identifier: Apache-2.0
// Building a destination where nobody sees it, and publishing it in one step.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "base/atomic_file.h"
#include "base/fd.h"
#include "clone/place.h"

namespace cloning {

// A regular file under construction: unnamed (O_TMPFILE) where the filesystem can, so that a kill
// leaves nothing at all; else under the temporary name, with mode 0600. No ACL. Destroyed
// unpublished, it is gone.
class StagedFile {
 public:
  // Removes a leftover first. `place` must outlive the object. An unnamed file, which nobody else
  // can open, gets `mode` at once: to change it later is one more transaction of the filesystem.
  explicit StagedFile(const Place& place, mode_t mode = S_IRUSR | S_IWUSR);
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  StagedFile(StagedFile&&) = delete;
  StagedFile& operator=(StagedFile&&) = delete;
  ~StagedFile();

  int fd() const { return fd_.get(); }
  // Gives the file its name, in one step. Durable::yes: flushed before, and the directory after.
  // Throws Refused when the name has been taken meanwhile, std::system_error.
  void publish(base::Durable durable);
  // The same, instead of what has the name now.
  void replace(base::Durable durable);
  // The same, but only if that is what `is_expected` says it may be: asked after the two have
  // changed places, and put back when it says no; then throws Refused with `why`.
  void replace_if(const std::function<bool(const struct stat&)>& is_expected,
                  const std::string& why, base::Durable durable);

 private:
  void create_named();
  void sync(base::Durable durable) const;
  void take_temporary_name();
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
  // The same, instead of what has the name now, which is removed with all in it. Throws Unsupported
  // where the filesystem cannot exchange two names: then everything is as it was.
  void replace(base::Durable durable);

 private:
  bool rename_to_free_name() const;

  const Place& place_;
  base::Fd fd_;
  bool published_ = false;
};

}  // namespace cloning
