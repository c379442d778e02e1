#include "clone/in_place.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <vector>

#include "base/error.h"
#include "clone/attributes.h"
#include "clone/contents.h"
#include "clone/defrag.h"
#include "clone/directory.h"
#include "clone/extents.h"
#include "clone/sparse_copy.h"
#include "clone/staging.h"

namespace cloning {
namespace {

using Clock = std::chrono::steady_clock;

struct stat stat_of_name(const Place& place) {
  struct stat st {};
  if (::fstatat(place.parent(), place.name().c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    base::throw_errno("cannot look up " + base::quoted(place.path()));
  }
  return st;
}

FileReport own_copy(const Place& place, const Request& request, Progress& progress) {
  const SourceFile src = open_source(place.parent(), place.name(), place.path());
  ContentCloner contents(request, progress);
  if (request.dry_run) {
    return contents.plan(src, place.parent(), place.path(), request.reflink);
  }
  AttributeCopier attributes;
  StagedFile staged(place);
  FileReport report = contents.clone(src, staged.fd(), place.path(), request.reflink);
  attributes.apply(src.fd.get(), src.st, staged.fd(), place.path(), S_IWUSR);
  const struct stat now = stat_of_name(place);
  if (now.st_dev != src.st.st_dev || now.st_ino != src.st.st_ino) {
    throw base::Refused("cannot unshare " + base::quoted(place.path()) +
                        ": it was replaced meanwhile; run again when nobody changes it");
  }
  const PhaseTimer timer(report.phases.publish);
  staged.replace(request.durable);
  return report;
}

void dig_file(const Place& place, const Request& request, Progress& progress, FileReport& report) {
  {
    const SourceFile file = open_source(place.parent(), place.name(), place.path());
    if (ReadLease(file.fd.get()).state() == ReadLease::State::refused) {
      throw base::Refused("cannot dig holes into " + base::quoted(place.path()) +
                          ": it is being written to" + writers_text(file) +
                          "; stop who writes to it first");
    }
  }
  const base::Fd fd = base::open_at(place.parent(), place.name(), O_RDWR | kNoFollow);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) {
    base::throw_errno("cannot stat " + base::quoted(place.path()));
  }
  report.extents = count_extents(fd.get(), Flush::no, place.path());
  {
    const PhaseTimer timer(report.phases.dig);
    const std::vector<Range> holes =
        holes_to_dig(fd.get(), fd.get(), st.st_size, request.jobs, progress, place.path());
    report.dug = dig_holes(fd.get(), holes, st.st_size, request.dry_run, place.path());
  }
  if (request.dry_run) {
    return;
  }
  if (report.dug > 0) {
    const std::array<struct timespec, 2> times{st.st_atim, st.st_mtim};
    if (::futimens(fd.get(), times.data()) != 0) {
      base::throw_errno("cannot set the times of " + base::quoted(place.path()));
    }
  }
  report.extents_after = count_extents(fd.get(), Flush::no, place.path());
  if (request.durable == base::Durable::yes) {
    const PhaseTimer timer(report.phases.publish);
    base::sync_fd(fd.get(), place.path());
  }
}

void defrag_file(const Place& place, const Request& request, Progress& progress,
                 FileReport& report) {
  SourceFile file = open_source(place.parent(), place.name(), place.path());
  {
    const PhaseTimer timer(report.phases.copy);
    defragment(place, file, request, progress);
  }
  report.defragged = file.defragged;
  report.extents = count_extents(file.fd.get(), Flush::no, place.path());
  report.extents_after = report.extents;
}

}  // namespace

InPlaceReport change_in_place(const std::string& path, bool unshare, const Request& request,
                              Progress& progress) {
  const Clock::time_point begun = Clock::now();
  const Place place(path);
  const struct stat st = stat_of_name(place);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot change " + base::quoted(path) + ": it is not a regular file");
  }
  InPlaceReport report{.file = {.path = place.path(), .size = st.st_size},
                       .links = static_cast<int64_t>(st.st_nlink),
                       .dry_run = request.dry_run};
  if (report.links > 1 && request.dig && !unshare) {
    throw base::Refused("cannot dig holes into " + base::quoted(path) + ": its inode has " +
                        std::to_string(report.links) + " links; add --unshare");
  }
  if (report.links > 1 && unshare) {
    report.file = own_copy(place, request, progress);
  } else {
    if (!request.dry_run) {
      place.remove_leftover();
    }
    if (request.dig) {
      dig_file(place, request, progress, report.file);
    }
  }
  if (request.defrag) {
    defrag_file(place, request, progress, report.file);
  }
  report.file.elapsed = Clock::now() - begun;
  return report;
}

}  // namespace cloning
