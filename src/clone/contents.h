// SPDX-License-Identifier: Apache-2.0
// Clones the contents of one file: shared if possible, else copied.
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

// For one destination: it remembers the refusal of that filesystem. Several threads may clone at
// the same time.
class ContentCloner {
 public:
  // Both references must outlive the object.
  ContentCloner(const Request& request, Progress& progress)
      : request_(request), progress_(progress) {}

  // Fills `dst`, which is new, empty and open for writing: by FICLONE as `mode` says, else by a
  // sparse copy. If the request says so, zeros become holes, and the result is compared with the
  // source. Throws Unsupported if `mode` is always and the files cannot share; Refused if the
  // source has more extents than the request allows, or changes during the clone; base::Error and
  // std::system_error (see try_reflink, sparse_copy).
  FileReport clone(const SourceFile& src, int dst, const std::string& dst_path, ReflinkMode mode);

  // Reports what clone would do in the directory `dst_dir`, with the same refusals, and changes
  // nothing.
  FileReport plan(const SourceFile& src, int dst_dir, const std::string& dst_path,
                  ReflinkMode mode);

 private:
  // How a clone or a dry run shares one file.
  struct Sharing {
    int made;                  // the file with the contents after `act`
    int beside;                // the clone, or the directory for it
    std::function<int()> ask;  // asks the filesystem: 0, or the errno of its refusal
    std::function<int()> act;  // the same, and shares the blocks
  };
  bool shares(const SourceFile& src, const std::string& dst_path, ReflinkMode mode,
              FileReport& report, const Sharing& sharing);
  void reflink(const SourceFile& src, FileReport& report, const Sharing& sharing);
  void copy(const SourceFile& src, int dst, FileReport& report);
  static void copy_unsized(const SourceFile& src, int dst, ReflinkMode mode, FileReport& report);
  void dig(const SourceFile& src, int made, FileReport& report);
  std::vector<file::ByteRange> zeros_of(const SourceFile& src, int made, const FileReport& report);
  Progress& progress_for(const SourceFile& src);

  const Request& request_;
  Progress& progress_;
  Progress no_progress_{ProgressMode::never};
  // The filesystem is asked once per source device, not once per file.
  std::mutex mutex_;
  std::optional<dev_t> asked_device_;
  int refusal_ = 0;  // for that device; 0 if it can
};

}  // namespace cloning
