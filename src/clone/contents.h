// SPDX-License-Identifier: Apache-2.0
// The contents of one file: shared where possible, else copied.
#pragma once

#include <sys/types.h>

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"
#include "clone/source_file.h"
#include "file/data_ranges.h"

namespace cloning {

// For one destination: it remembers what that filesystem refused. Several threads may clone at the
// same time.
class ContentCloner {
 public:
  // Both must outlive the object.
  ContentCloner(const Request& request, Progress& progress)
      : request_(request), progress_(progress) {}

  // Fills `dst`, new and empty and open for writing: by FICLONE as `mode` says, else by a sparse
  // copy; zeros become holes, and the two are compared, when the request says so. Throws
  // Unsupported when `mode` is always and the files cannot share; Refused when the source has more
  // extents than the request allows, or has changed meanwhile; base::Error and std::system_error
  // (see try_reflink, sparse_copy).
  FileReport clone(const SourceFile& src, int dst, const std::string& dst_path, ReflinkMode mode);

  // What clone would do into the directory `dst_dir`, with the same refusals, and nothing changed.
  FileReport plan(const SourceFile& src, int dst_dir, const std::string& dst_path,
                  ReflinkMode mode);

 private:
  // How a clone or a dry run shares one file.
  struct Sharing {
    int made;                  // has the contents after `act`
    int beside;                // the clone, or the directory that it would be in
    std::function<int()> ask;  // whether the filesystem can: 0, or the errno of its refusal
    std::function<int()> act;  // the same, and does it
  };
  bool shares(const SourceFile& src, const std::string& dst_path, ReflinkMode mode,
              FileReport& report, const Sharing& sharing);
  void reflink(const SourceFile& src, FileReport& report, const Sharing& sharing);
  void copy(const SourceFile& src, int dst, FileReport& report);
  static void copy_unsized(const SourceFile& src, int dst, ReflinkMode mode, FileReport& report);
  void dig(const SourceFile& src, int made, FileReport& report);
  std::vector<file::Range> zeros_of(const SourceFile& src, int made, const FileReport& report);
  Progress& progress_for(const SourceFile& src);

  const Request& request_;
  Progress& progress_;
  Progress no_progress_{ProgressMode::never};
  // Whether files of a device can be reflinked here is asked once, not for each file.
  std::mutex mutex_;
  std::optional<dev_t> asked_device_;
  int refusal_ = 0;  // of that device; 0: it can
};

}  // namespace cloning
