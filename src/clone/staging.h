// SPDX-License-Identifier: Apache-2.0
// Builds a destination where no process sees it, and publishes it in one step.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "base/atomic_file.h"
#include "base/fd.h"
#include "clone/destination.h"

namespace cloning {

// A regular file under construction. It is unnamed (O_TMPFILE) if the filesystem supports that, so
// that a killed run leaves nothing; else it has the temporary name and mode 0600. No ACL. The
// destructor removes an unpublished file.
class StagedFile {
 public:
  // Removes a leftover first. `destination` must outlive the object. An unnamed file, which no
  // other process can open, gets `mode` at once: a later change is one more transaction of the
  // filesystem.
  explicit StagedFile(const Destination& destination, mode_t mode = S_IRUSR | S_IWUSR);
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  StagedFile(StagedFile&&) = delete;
  StagedFile& operator=(StagedFile&&) = delete;
  ~StagedFile();

  int fd() const { return fd_.get(); }
  // Gives the file its name in one step. Durable::yes flushes the file before, and the directory
  // after. Throws Refused if the name already exists, std::system_error.
  void publish(base::Durable durable);
  // The same, but replaces the present entry of that name.
  void replace(base::Durable durable);
  // The same, but only if `is_expected` accepts the status of the replaced entry. It is called
  // after the exchange. If it returns false, the exchange is undone and Refused is thrown with
  // `why`.
  void replace_if(const std::function<bool(const struct stat&)>& is_expected,
                  const std::string& why, base::Durable durable);

 private:
  void create_named();
  void sync(base::Durable durable) const;
  void take_temporary_name();
  bool link_to(const std::string& name) const;

  const Destination& destination_;
  base::Fd fd_;
  bool named_ = false;  // the file has the temporary name
};

// A directory under construction: under the temporary name, mode 0700, no ACL, locked. The
// destructor removes an unpublished directory with its contents. If the process is killed, the next
// run removes it.
class StagedDirectory {
 public:
  explicit StagedDirectory(const Destination& destination);
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;
  StagedDirectory(StagedDirectory&&) = delete;
  StagedDirectory& operator=(StagedDirectory&&) = delete;
  ~StagedDirectory();

  int fd() const { return fd_.get(); }
  // renameat2(RENAME_NOREPLACE) to the name. Durable::yes flushes everything in it before, and
  // the parent after. Throws Refused if the name already exists, Unsupported if the filesystem
  // lacks that rename, std::system_error.
  void publish(base::Durable durable);
  // The same, but replaces the present entry, which is removed with its contents. Throws
  // Unsupported if the filesystem cannot exchange two names; then nothing has changed.
  void replace(base::Durable durable);

 private:
  bool rename_to_free_name() const;

  const Destination& destination_;
  base::Fd fd_;
  bool published_ = false;
};

}  // namespace cloning
