#include "clone/contents.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "clone/data_ranges.h"
#include "clone/directory.h"
#include "clone/reflink.h"
#include "clone/sparse_copy.h"

namespace cloning {
namespace {

// What FICLONE costs an extent, for the message that refuses to pay it (XFS 35 us, btrfs 7 us).
constexpr double kSecondsPerExtent = 35e-6;

bool same_time(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

std::string why_not(int error_number) {
  return error_number == EXDEV ? "they are on different filesystems"
                               : std::string(std::strerror(error_number));
}

void check_extents(const SourceFile& src, int64_t limit, FileReport& report) {
  const std::optional<ExtentSurvey> survey =
      survey_extents(src.fd.get(), src.st.st_size, Flush::yes, src.path);
  if (!survey) {
    return;
  }
  report.extents = survey->extents;
  if (survey->extents > limit) {
    const double ms = std::ceil(static_cast<double>(survey->extents) * kSecondsPerExtent * 1000);
    throw base::Refused("cannot clone " + base::quoted(src.path) + ": it has " +
                        std::to_string(survey->extents) + " extents, more than " +
                        std::to_string(limit) + ", each clone would take up to " +
                        std::to_string(static_cast<int64_t>(ms)) +
                        " ms; rewrite it densely, or raise --max-extents");
  }
}

// After the FICLONE, which has written out dirty data: what is data is known only then. Where none
// was done (a dry run) the survey does it.
void count_shared(const SourceFile& src, Flush flush, FileReport& report) {
  report.method = Method::reflink;
  report.shared = src.st.st_size;
  const std::optional<ExtentSurvey> survey =
      survey_extents(src.fd.get(), src.st.st_size, flush, src.path);
  if (survey) {
    report.shared = std::min<int64_t>(survey->data_bytes, src.st.st_size);
    report.extents = survey->extents;
  }
  report.hole = src.st.st_size - report.shared;
}

void check_unchanged(const SourceFile& src) {
  struct stat now {};
  if (::fstat(src.fd.get(), &now) != 0) {
    base::throw_errno("cannot stat " + base::quoted(src.path));
  }
  // Who links or unlinks a name of the inode changes its ctime, as do clones of sealed memory
  // beside this one; that is no change of contents.
  const bool relinked = now.st_nlink != src.st.st_nlink || (now.st_mode & 0222) == 0;
  if (now.st_size != src.st.st_size || !same_time(now.st_mtim, src.st.st_mtim) ||
      (!relinked && !same_time(now.st_ctim, src.st.st_ctim))) {
    throw base::Refused("cannot clone " + base::quoted(src.path) +
                        ": it changed meanwhile; stop who writes to it first");
  }
}

}  // namespace

SourceFile open_source(int dir, const std::string& name, const std::string& path) {
  SourceFile src{.fd = base::Fd(::openat(dir, name.c_str(), O_RDONLY | kNoFollow)), .path = path};
  if (!src.fd) {
    if (errno == ENOENT || errno == ELOOP) {
      throw base::Refused("cannot clone " + base::quoted(path) +
                          ": it went away meanwhile; run again when nobody changes the source");
    }
    base::throw_errno("cannot open " + base::quoted(path));
  }
  if (::fstat(src.fd.get(), &src.st) != 0) {
    base::throw_errno("cannot stat " + base::quoted(path));
  }
  if (!S_ISREG(src.st.st_mode)) {
    throw base::Refused("cannot clone " + base::quoted(path) +
                        ": it was replaced meanwhile; run again when nobody changes the source");
  }
  return src;
}

bool ContentCloner::shares(const SourceFile& src, const std::string& dst_path, ReflinkMode mode,
                           FileReport& report, const std::function<int()>& reflink) {
  if (mode == ReflinkMode::never) {
    return false;
  }
  if (refused_device_ != src.st.st_dev) {
    if (request_.max_extents > 0) {
      check_extents(src, request_.max_extents, report);
    }
    report.refused = reflink();
    if (report.refused == 0) {
      count_shared(src, request_.dry_run ? Flush::yes : Flush::no, report);
      return true;
    }
    if (report.refused != EINVAL) {  // which speaks of this file only
      refused_device_ = src.st.st_dev;
      refusal_ = report.refused;
    }
  } else {
    report.refused = refusal_;
  }
  if (mode == ReflinkMode::always) {
    throw base::Unsupported("cannot reflink " + base::quoted(src.path) + " to " +
                            base::quoted(dst_path) + ": " + why_not(report.refused) +
                            "; XFS or btrfs can, --reflink=auto copies");
  }
  return false;
}

FileReport ContentCloner::clone(const SourceFile& src, int dst, const std::string& dst_path,
                                ReflinkMode mode) {
  FileReport report{.path = dst_path, .size = src.st.st_size};
  if (src.st.st_size > 0) {
    check_file_size_limit(src.st.st_size, dst_path);
    const bool shared = shares(src, dst_path, mode, report,
                               [&] { return try_reflink(src.fd.get(), dst, src.path, dst_path); });
    if (!shared) {
      copy(src, dst, report);
    } else if (request_.dig) {
      report.dug = dig_holes(src.fd.get(), dst, src.st.st_size, progress_, dst_path);
      report.shared -= std::min(report.dug, report.shared);
      report.hole = src.st.st_size - report.shared;
    }
  }
  if (request_.steady) {
    check_unchanged(src);
  }
  return report;
}

void ContentCloner::copy(const SourceFile& src, int dst, FileReport& report) {
  const CopyResult result =
      sparse_copy(src.fd.get(), src.st, dst, request_.dig ? Zeros::dig : Zeros::keep, progress_,
                  src.path, report.path);
  report.method = Method::copy;
  report.copied = result.copied;
  report.dug = result.dug;
  report.hole = src.st.st_size - result.copied;
}

FileReport ContentCloner::plan(const SourceFile& src, int dst_dir, const std::string& dst_path,
                               ReflinkMode mode) {
  FileReport report{.path = dst_path, .size = src.st.st_size};
  if (src.st.st_size == 0) {
    return report;
  }
  check_file_size_limit(src.st.st_size, dst_path);
  if (!shares(src, dst_path, mode, report,
              [&] { return probe_reflink(src.fd.get(), dst_dir, dst_path); })) {
    report.method = Method::copy;
    report.copied = allocated_bytes(src.st);
    report.hole = src.st.st_size - report.copied;
  }
  return report;
}

}  // namespace cloning
