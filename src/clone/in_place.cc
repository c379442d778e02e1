// SPDX-License-Identifier: Apache-2.0
// Changes a file in place, or in a clone that replaces it.
#include "clone/in_place.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/open_files.h"
#include "clone/attributes.h"
#include "clone/contents.h"
#include "clone/defrag.h"
#include "clone/sparse_copy.h"
#include "clone/staging.h"
#include "file/directory.h"
#include "file/extents.h"
#include "file/file_lease.h"

namespace cloning {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void refuse_writer(const SourceFile& file) {
  throw base::Refused("cannot change " + base::quoted(file.path) + ": it is being written to" +
                      writers_text(file) + "; stop the writer first");
}

struct stat stat_of_name(const Destination& destination) {
  return base::lstat_at(destination.parent(), destination.name(), destination.path());
}

enum class Reason {
  unshare,  // an inode of its own, writable by the owner
  dig,      // holes; if there are no zeros, the file is unchanged
};

// Builds the file again and exchanges the two. Processes that read the old inode continue to read
// it. No process may write to it from before its contents are read until the new file has the name.
FileReport rebuild(const Destination& destination, Reason reason, const Request& request,
                   Progress& progress) {
  const SourceFile src = open_source(destination.parent(), destination.name(), destination.path());
  const base::Fd guarded = file::open_again(src.fd.get());  // contents.clone takes its own leases
  const file::FileLease lease(guarded.get(), file::FileLease::Kind::read);
  if (lease.state() == file::FileLease::State::refused) {
    refuse_writer(src);
  }
  ContentCloner contents(request, progress);
  FileReport unchanged{.path = destination.path(), .size = src.st.st_size};
  const auto is_needless = [&](const FileReport& report) {
    return reason == Reason::dig && report.dug == 0;
  };
  if (base::is_dry_run(request.effect)) {
    const FileReport report =
        contents.plan(src, destination.parent(), destination.path(), request.reflink);
    return is_needless(report) ? unchanged : report;
  }
  StagedFile staged(destination);
  FileReport report = contents.clone(src, staged.fd(), destination.path(), request.reflink);
  if (is_needless(report)) {
    return unchanged;
  }
  AttributeCopier attributes;
  attributes.apply(src.fd.get(), src.st, staged.fd(), destination.path(),
                   reason == Reason::unshare ? S_IWUSR : 0);
  const PhaseTimer timer(report.phases.publish);
  if (request.durable == base::Durable::yes) {
    progress.flush();
  }
  // A process that waits for the lease has already looked up the old inode, and would write to a
  // file without a name. So the lease is checked after the exchange. Without leases, the times
  // are compared.
  staged.replace_if(
      [&](const struct stat& old) {
        return base::is_same_file(old, src.st) &&
               lease.state() != file::FileLease::State::refused && !is_modified(src);
      },
      "a process opens, changes or replaces it; try again when none does", request.durable);
  return report;
}

// Restores the times of a file at the end of its scope: digging holes does not change the contents.
// The times stay changed if the lease is lost, because a change by another process must show.
class TimesKept {
 public:
  TimesKept(int fd, const struct stat& st, const file::FileLease& lease)
      : fd_(fd), times_{st.st_atim, st.st_mtim}, lease_(lease) {}
  TimesKept(const TimesKept&) = delete;
  TimesKept& operator=(const TimesKept&) = delete;
  TimesKept(TimesKept&&) = delete;
  TimesKept& operator=(TimesKept&&) = delete;
  ~TimesKept() {
    if (lease_.is_held()) {
      static_cast<void>(::futimens(fd_, times_.data()));  // the owner's file, open for writing
    }
  }

 private:
  int fd_;
  std::array<struct timespec, 2> times_;
  const file::FileLease& lease_;
};

// Digs holes in the file itself if no other process has it open. Else returns false and changes
// nothing. Only a write lease proves this: data that a process writes between a check of the times
// and the punch would be lost.
bool dig_alone(const Destination& destination, const Request& request, Progress& progress,
               FileReport& report) {
  const base::Fd fd =
      base::open_at(destination.parent(), destination.name(), O_RDWR | file::kNoFollow);
  const file::FileLease lease(fd.get(), file::FileLease::Kind::write);
  if (!lease.is_held()) {
    return false;
  }
  const struct stat st = base::stat_fd(fd.get(), destination.path());
  report.extents = file::count_extents(fd.get(), file::Flush::no, destination.path());
  const RequireSteady require_lease = [&] {
    if (!lease.is_held()) {
      throw base::Refused("cannot dig holes into " + base::quoted(destination.path()) +
                          ": a process opens it; try again when none does");
    }
  };
  {
    const PhaseTimer timer(report.phases.dig);
    const std::vector<file::ByteRange> holes = holes_to_dig(
        fd.get(), fd.get(), st.st_size, request.jobs, progress, destination.path(), require_lease);
    report.dug = bytes_of(holes);
    if (base::is_dry_run(request.effect)) {
      return true;
    }
    if (!holes.empty()) {
      const TimesKept times(fd.get(), st, lease);
      dig_holes(fd.get(), holes, st.st_size, destination.path(), require_lease);
    }
  }
  report.extents_after = file::count_extents(fd.get(), file::Flush::no, destination.path());
  if (request.durable == base::Durable::yes) {
    const PhaseTimer timer(report.phases.publish);
    base::sync_fd(fd.get(), destination.path());
  }
  return true;
}

void dig_file(const Destination& destination, const Request& request, Progress& progress,
              FileReport& report) {
  {
    const SourceFile file =
        open_source(destination.parent(), destination.name(), destination.path());
    if (file::FileLease(file.fd.get(), file::FileLease::Kind::read).state() ==
        file::FileLease::State::refused) {
      refuse_writer(file);
    }
  }
  if (!dig_alone(destination, request, progress, report)) {
    report = rebuild(destination, Reason::dig, request, progress);
  }
}

void defrag_file(const Destination& destination, const Request& request, Progress& progress,
                 FileReport& report) {
  SourceFile file = open_source(destination.parent(), destination.name(), destination.path());
  {
    const PhaseTimer timer(report.phases.copy);
    defragment(destination, file, request, progress);
  }
  report.defragged = file.defragged;
  if (file.defragged) {
    report.method = Method::copy;
    report.copied = allocated_bytes(file.st);
    report.shared = 0;
    report.hole = report.size - report.copied;
  }
  report.extents = file::count_extents(file.fd.get(), file::Flush::no, destination.path());
  report.extents_after = report.extents;
}

}  // namespace

InPlaceReport change_in_place(const std::string& path, bool unshare, const Request& request,
                              Progress& progress) {
  const Clock::time_point begun = Clock::now();
  const Destination destination(path);
  const struct stat st = stat_of_name(destination);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot change " + base::quoted(path) + ": it is not a regular file");
  }
  InPlaceReport report{.file = {.path = destination.path(), .size = st.st_size},
                       .links = static_cast<int64_t>(st.st_nlink),
                       .effect = request.effect};
  if (report.links > 1 && request.dig && !unshare) {
    throw base::Refused("cannot dig holes into " + base::quoted(path) + ": its inode has " +
                        std::to_string(report.links) + " links; add --unshare");
  }
  if (report.links > 1 && unshare) {
    report.file = rebuild(destination, Reason::unshare, request, progress);
  } else {
    if (!base::is_dry_run(request.effect)) {
      destination.remove_leftover();
    }
    if (request.dig) {
      dig_file(destination, request, progress, report.file);
    }
  }
  if (request.defrag) {
    defrag_file(destination, request, progress, report.file);
  }
  report.new_inode = (report.links > 1 && unshare) || report.file.method != Method::none;
  report.file.elapsed = Clock::now() - begun;
  return report;
}

}  // namespace cloning
