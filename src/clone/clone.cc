// SPDX-License-Identifier: Apache-2.0
// Clones one source to one destination: checks, contents, publication.
#include "clone/clone.h"

#include <fcntl.h>

#include <chrono>

#include "base/effect.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "clone/attributes.h"
#include "clone/contents.h"
#include "clone/staging.h"
#include "clone/tree.h"
#include "file/directory.h"

namespace cloning {
namespace {

using Clock = std::chrono::steady_clock;

template <typename Staged>
void give_name(Staged& staged, const Request& request, Progress& progress, Phases& phases) {
  const PhaseTimer timer(phases.publish);
  if (request.durable == base::Durable::yes) {
    progress.flush();
  }
  if (request.replace) {
    staged.replace(request.durable);
  } else {
    staged.publish(request.durable);
  }
}

void clone_file(const SourceFile& src, const Destination& destination, const Request& request,
                ContentCloner& contents, Progress& progress, CloneReport& report) {
  const Clock::time_point begun = Clock::now();
  if (base::is_dry_run(request.effect)) {
    report.files.push_back(
        contents.plan(src, destination.parent(), destination.path(), request.reflink));
  } else {
    AttributeCopier attributes;
    StagedFile staged(destination, src.st.st_mode & ACCESSPERMS);
    report.files.push_back(contents.clone(src, staged.fd(), destination.path(), request.reflink));
    attributes.apply(src.fd.get(), src.st, staged.fd(), destination.path());
    give_name(staged, request, progress, report.phases);
    attributes.warn();
  }
  report.files.back().elapsed = Clock::now() - begun;
}

void clone_directory(const SourceFile& src, const Destination& destination, const Request& request,
                     ContentCloner& contents, Progress& progress, CloneReport& report) {
  if (destination.is_inside(src.fd.get())) {
    throw base::UsageError("cannot clone " + base::quoted(src.path) + " into itself, to " +
                           base::quoted(destination.path()));
  }
  AttributeCopier attributes;
  TreeCloner tree(request, contents, attributes, progress, report);
  // Opened again, because reading a directory moves the descriptor's position.
  const base::Fd dir = base::open_at(src.fd.get(), ".", O_RDONLY | O_DIRECTORY);
  if (base::is_dry_run(request.effect)) {
    tree.clone(dir.get(), destination.parent());
    return;
  }
  StagedDirectory staged(destination);
  tree.clone(dir.get(), staged.fd());
  give_name(staged, request, progress, report.phases);
  attributes.warn();
}

// Refuses to replace the source, or a directory that contains it.
void require_apart(const SourceFile& src, const Destination& destination) {
  struct stat there {};
  if (::fstatat(destination.parent(), destination.name().c_str(), &there, AT_SYMLINK_NOFOLLOW) !=
      0) {
    return;
  }
  bool is_apart = !base::is_same_file(there, src.st);
  if (is_apart && S_ISDIR(there.st_mode)) {
    const base::Fd dir = base::open_at(destination.parent(), destination.name(),
                                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    is_apart = !Destination(file::name_of_open(src.fd.get(), src.path)).is_inside(dir.get());
  }
  if (!is_apart) {
    throw base::UsageError("cannot replace " + base::quoted(destination.path()) +
                           " by a clone of " + base::quoted(src.path) + ", which it contains");
  }
}

}  // namespace

CloneReport clone_to(const SourceFile& src, const std::string& dst, const Request& request,
                     Progress& progress) {
  const Clock::time_point begun = Clock::now();
  const Destination destination(dst);
  if (request.replace) {
    require_apart(src, destination);
  } else {
    destination.require_free();
  }
  CloneReport report{
      .src = src.path, .dst = destination.path(), .files = {}, .effect = request.effect};
  ContentCloner contents(request, progress);
  if (S_ISDIR(src.st.st_mode)) {
    clone_directory(src, destination, request, contents, progress, report);
  } else {
    clone_file(src, destination, request, contents, progress, report);
  }
  report.elapsed = Clock::now() - begun;
  return report;
}

}  // namespace cloning
