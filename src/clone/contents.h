// The contents of one file: shared where possible, else copied.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <functional>
#include <optional>
#include <string>

#include "base/fd.h"
#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"

namespace cloning {

// A regular file that is open for reading, as it was when it was opened.
struct SourceFile {
  base::Fd fd;
  struct stat st {};
  std::string path;  // for messages
};

// Opens `name` in the directory `dir`. Throws Refused when it has vanished or is no regular file
// any more: somebody changes the source; std::system_error.
SourceFile open_source(int dir, const std::string& name, const std::string& path);

// For one destination: it remembers what that filesystem refused.
class ContentCloner {
 public:
  // Both must outlive the object.
  ContentCloner(const Request& request, Progress& progress)
      : request_(request), progress_(progress) {}

  // Fills `dst`, new and empty and open for writing: by FICLONE as `mode` says, else by a sparse
  // copy; zero blocks become holes when the request says so. Throws Unsupported when `mode` is
  // always and the files cannot share; Refused when the source has more extents than the request
  // allows, or has changed meanwhile; base::Error and std::system_error (see try_reflink,
  // sparse_copy).
  FileReport clone(const SourceFile& src, int dst, const std::string& dst_path, ReflinkMode mode);

  // What clone would do into the directory `dst_dir`, with the same refusals, and nothing changed.
  FileReport plan(const SourceFile& src, int dst_dir, const std::string& dst_path,
                  ReflinkMode mode);

 private:
  bool shares(const SourceFile& src, const std::string& dst_path, ReflinkMode mode,
              FileReport& report, const std::function<int()>& reflink);
  void copy(const SourceFile& src, int dst, FileReport& report);

  const Request& request_;
  Progress& progress_;
  // A filesystem that cannot be reflinked here is asked once, not for each of its files.
  std::optional<dev_t> refused_device_;
  int refusal_ = 0;
};

}  // namespace cloning
