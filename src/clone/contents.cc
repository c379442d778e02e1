// SPDX-License-Identifier: Apache-2.0
// Clones the contents of one file: reflink, copy, holes, checks.
#include "clone/contents.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/message.h"
#include "clone/reflink.h"
#include "clone/shares_all.h"
#include "clone/sparse_copy.h"
#include "clone/verify.h"
#include "file/extents.h"
#include "file/file_lease.h"

namespace cloning {
namespace {

// Below this size, the search for writers costs more than it helps, and a progress line is too
// short to read.
constexpr off_t kLargeFile = 1 << 20;

std::string cost_text(const SourceFile& src, int64_t extents) {
  return "each clone of it takes up to " +
         std::to_string(file::clone_cost_ms(src.fd.get(), extents)) + " ms";
}

void refuse_many_extents(const SourceFile& src, int64_t extents, int64_t limit) {
  if (extents > limit) {
    throw base::Refused("cannot clone " + base::quoted(src.path) + ": it has " +
                        std::to_string(extents) + " extents, more than " + std::to_string(limit) +
                        ", " + cost_text(src, extents) +
                        "; rewrite it densely (--defrag), or raise --max-extents");
  }
}

// Returns whether to flush the source and count its extents before the clone: they may be more than
// the limit. A smaller file is cloned faster than its extents are counted.
bool must_count(const Request& request, const SourceFile& src) {
  constexpr off_t kSmallestBlock = 1024;  // the smallest block of a filesystem that shares blocks
  return src.st.st_size / kSmallestBlock >= request.max_extents.value_or(file::kManyExtents) &&
         (request.max_extents || request.detail != Detail::nothing);
}

// Measures size, bytes and extents of a file that shares the source's blocks. The bytes are
// st_blocks, except if the caller wants numbers and there are few extents: preallocated blocks are
// not data.
void measure_shared(int fd, Detail detail, FileReport& report) {
  const struct stat st = base::stat_fd(fd, report.path);
  report.size = st.st_size;  // a source that grows is shared at its length of that instant
  report.shared = allocated_bytes(st);
  if (detail == Detail::numbers) {
    const std::optional<file::ExtentSurvey> survey =
        report.extents.value_or(0) <= file::kFewExtents
            ? file::survey_extents(fd, report.size, file::Flush::no, report.path)
            : std::nullopt;
    report.shared = survey ? survey->data_bytes : report.shared;
    report.extents_after =
        survey ? survey->extents : file::count_extents(fd, file::Flush::no, report.path);
    // The extents of a short source are those of its clone.
    report.extents = report.extents ? report.extents : report.extents_after;
  }
  report.hole = report.size - report.shared;
}

void warn_of_many_extents(const SourceFile& src, int64_t extents) {
  if (extents > file::kManyExtents) {
    base::say_warning(base::quoted(src.path) + " has " + std::to_string(extents) + " extents, " +
                      cost_text(src, extents) + "; 'reflink-clone --defrag' rewrites it densely");
  }
}

// Checked before the contents are read, so that a writer that ends during the clone is also found.
bool has_writer(const Request& request, const SourceFile& src) {
  return request.detail != Detail::nothing && src.st.st_size >= kLargeFile &&
         file::FileLease(src.fd.get(), file::FileLease::Kind::read).state() ==
             file::FileLease::State::refused;
}

// The effect of a writer on the clone depends on the method.
void warn_of_writer(const SourceFile& src, const FileReport& report) {
  base::say_warning(base::quoted(src.path) + " is being written to" + writers_text(src) +
                    (report.method == Method::reflink
                         ? "; the clone has its contents at one instant"
                         : "; the copy may mix its contents at several instants; stop the writer "
                           "or refuse such a source with --steady"));
}

}  // namespace

Progress& ContentCloner::progress_for(const SourceFile& src) {
  return request_.jobs > 1 && src.st.st_size < kLargeFile ? no_progress_ : progress_;
}

// Returns whether the contents are shared.
bool ContentCloner::shares(const SourceFile& src, const std::string& dst_path, ReflinkMode mode,
                           FileReport& report, const Sharing& sharing) {
  if (mode == ReflinkMode::never) {
    return false;
  }
  // Checked only before a flush; else FICLONE itself fails at once.
  if (must_count(request_, src)) {
    const std::scoped_lock lock(mutex_);
    if (asked_device_ != src.st.st_dev) {
      refusal_ = sharing.ask();
      asked_device_ = src.st.st_dev;
    }
    report.refused = refusal_;
  }
  if (report.refused == 0) {
    reflink(src, report, sharing);
  }
  if (report.refused == 0) {
    return true;
  }
  report.refused_why = refusal_reason(report.refused, src.fd.get(), sharing.beside);
  if (mode == ReflinkMode::always) {
    throw base::Unsupported("cannot reflink " + base::quoted(src.path) + " to " +
                            base::quoted(dst_path) + ": " + report.refused_why +
                            "; XFS and btrfs can, --reflink=auto copies");
  }
  return false;
}

void ContentCloner::reflink(const SourceFile& src, FileReport& report, const Sharing& sharing) {
  if (must_count(request_, src)) {
    const PhaseTimer timer(report.phases.flush);
    report.extents = file::count_extents(src.fd.get(), file::Flush::yes, src.path);
  }
  if (report.extents && request_.max_extents) {
    refuse_many_extents(src, *report.extents, *request_.max_extents);
  }
  {
    const PhaseTimer timer(report.phases.reflink);
    report.refused = sharing.act();
  }
  if (report.refused != 0) {
    return;
  }
  if (sharing.made != src.fd.get()) {
    require_all_shared(src, sharing.made, report.path);
  }
  if (report.extents && !request_.max_extents) {
    warn_of_many_extents(src, *report.extents);
  }
  report.method = Method::reflink;
  measure_shared(sharing.made, request_.detail, report);
}

FileReport ContentCloner::clone(const SourceFile& src, int dst, const std::string& dst_path,
                                ReflinkMode mode) {
  FileReport report{.path = dst_path, .size = src.st.st_size, .defragged = src.defragged};
  if (src.st.st_size > 0) {
    check_file_size_limit(src.st.st_size, dst_path);
    report.has_writer = has_writer(request_, src);
    const Sharing sharing{
        .made = dst,
        .beside = dst,
        .ask = [&] { return ask_reflink(src.fd.get(), dst); },
        .act = [&] { return try_reflink(src.fd.get(), dst, src.path, dst_path); }};
    if (!shares(src, dst_path, mode, report, sharing)) {
      copy(src, dst, report);
    } else if (request_.dig) {
      dig(src, dst, report);
    }
    if (report.has_writer) {
      warn_of_writer(src, report);
    }
    if (request_.verify) {
      const PhaseTimer timer(report.phases.verify);
      require_same(src.fd.get(), dst, report.size, request_.jobs, progress_for(src), src.path,
                   dst_path);
    }
  }
  if (src.st.st_size == 0) {
    copy_unsized(src, dst, mode, report);
  }
  if (request_.steady) {
    require_unchanged(src);
  }
  return report;
}

// A file of length 0 may still have contents (/proc, FUSE).
void ContentCloner::copy_unsized(const SourceFile& src, int dst, ReflinkMode mode,
                                 FileReport& report) {
  std::byte first{};
  if (base::pread_full(src.fd.get(), {&first, 1}, 0, src.path) == 0) {
    return;
  }
  if (mode == ReflinkMode::always) {
    throw base::Unsupported("cannot reflink " + base::quoted(src.path) + " to " +
                            base::quoted(report.path) +
                            ": it has contents, but its filesystem reports no length; "
                            "--reflink=auto copies");
  }
  const PhaseTimer timer(report.phases.copy);
  report.copied = stream_copy(src.fd.get(), dst, src.path, report.path);
  report.size = report.copied;
  report.method = Method::copy;
}

void ContentCloner::copy(const SourceFile& src, int dst, FileReport& report) {
  const PhaseTimer timer(report.phases.copy);
  const CopyOptions options{.zeros = request_.dig || request_.sparse ? Zeros::dig : Zeros::keep,
                            .jobs = request_.jobs,
                            .progress = progress_for(src)};
  const CopyResult result = sparse_copy(src.fd.get(), src.st, dst, options, src.path, report.path);
  report.method = Method::copy;
  report.copied = result.copied;
  report.dug = result.dug;
  report.hole = src.st.st_size - result.copied;
}

// Returns the zeros of the clone `made`. If the source certainly has the contents that were shared,
// it is searched, because its pages are often in the cache; else the clone is.
std::vector<file::ByteRange> ContentCloner::zeros_of(const SourceFile& src, int made,
                                                     const FileReport& report) {
  const file::FileLease lease(src.fd.get(), file::FileLease::Kind::read);
  const auto is_steady = [&] { return lease.is_held() && !is_modified(src); };
  const auto find_in = [&](int fd) {
    return holes_to_dig(fd, made, report.size, request_.jobs, progress_for(src), report.path,
                        [] {});
  };
  if (is_steady()) {
    std::vector<file::ByteRange> holes = find_in(src.fd.get());
    if (is_steady()) {
      return holes;
    }
  }
  return find_in(made);
}

// `made` has the contents already. In a dry run it is the source.
void ContentCloner::dig(const SourceFile& src, int made, FileReport& report) {
  const PhaseTimer timer(report.phases.dig);
  const std::vector<file::ByteRange> holes = zeros_of(src, made, report);
  report.dug = bytes_of(holes);
  if (!base::is_dry_run(request_.effect)) {
    dig_holes(made, holes, report.size, report.path, [] {});
  }
  report.shared -= std::min(report.dug, report.shared);
  report.extents_after = base::is_dry_run(request_.effect)
                             ? std::nullopt
                             : file::count_extents(made, file::Flush::no, report.path);
  report.hole = report.size - report.shared;
}

FileReport ContentCloner::plan(const SourceFile& src, int dst_dir, const std::string& dst_path,
                               ReflinkMode mode) {
  FileReport report{.path = dst_path, .size = src.st.st_size, .defragged = src.defragged};
  if (src.st.st_size == 0) {
    return report;
  }
  check_file_size_limit(src.st.st_size, dst_path);
  const auto probe = [&] { return probe_reflink(src.fd.get(), dst_dir, dst_path); };
  const Sharing sharing{.made = src.fd.get(), .beside = dst_dir, .ask = probe, .act = probe};
  if (!shares(src, dst_path, mode, report, sharing)) {
    report.method = Method::copy;
    report.copied = allocated_bytes(src.st);
    report.hole = src.st.st_size - report.copied;
  } else if (request_.dig) {
    dig(src, src.fd.get(), report);
  }
  return report;
}

}  // namespace cloning
