// SPDX-License-Identifier: Apache-2.0
// Clones a directory and everything below it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/file_status.h"
#include "base/parallel.h"
#include "clone/attributes.h"
#include "clone/contents.h"
#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"
#include "file/directory.h"

namespace cloning {

// Clones one tree into one destination. The walk holds descriptors of its present directories on
// both sides. Entries are opened by name in these directories and never followed. With request.jobs
// > 1, other threads copy the contents of small files; only the walk creates names.
class TreeCloner {
 public:
  // All references must outlive the object. The results are added to `report`.
  TreeCloner(const Request& request, ContentCloner& contents, AttributeCopier& attributes,
             Progress& progress, CloneReport& report)
      : request_(request),
        contents_(contents),
        attributes_(attributes),
        progress_(progress),
        report_(report),
        pool_(request.jobs) {}

  // Fills the empty directory `dst` from `src`, and gives it the attributes of `src`. In a dry
  // run, `dst` is the directory of the future clone, and is not changed. Throws BadData, with the
  // path, for a fifo or device; Refused for a source that changes, or for memory that must be
  // linked but is not sealed; Unsupported if it cannot be linked; whatever ContentCloner throws.
  void clone(int src, int dst);

 private:
  // One entry of the walk.
  struct Step {
    int src_dir;
    int dst_dir;
    const std::string& name;
    const std::string& relative;  // relative to the root of both trees
  };
  void clone_children(int src, int dst, const std::string& relative);
  void clone_directory(const Step& step);
  void clone_file(const Step& step);
  void clone_symlink(const Step& step);
  SourceFile open_file(const Step& step);
  void clone_contents(const Step& step, SourceFile src, FileReport& report);
  FileReport link_memory(const Step& step, const SourceFile& src,
                         const std::string& dst_path) const;
  FileReport link_to_sibling(const Step& step, const SourceFile& src, const std::string& sibling,
                             const std::string& dst_path) const;
  std::string src_path(const std::string& relative) const { return report_.src + "/" + relative; }
  std::string dst_path(const std::string& relative) const { return report_.dst + "/" + relative; }

  const Request& request_;
  ContentCloner& contents_;
  AttributeCopier& attributes_;
  Progress& progress_;
  CloneReport& report_;
  int dst_root_ = -1;
  // Inodes with several links, and the path of the first of them in the destination.
  std::map<base::FileId, std::string> seen_;
  base::TaskPool pool_;
};

}  // namespace cloning
