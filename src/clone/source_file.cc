// SPDX-License-Identifier: Apache-2.0
// Opens a source and detects changes to it.
#include "clone/source_file.h"

#include <fcntl.h>

#include <cerrno>

#include "base/error.h"
#include "base/file_status.h"
#include "base/open_files.h"
#include "base/process.h"
#include "file/directory.h"
#include "store/seal.h"

namespace cloning {
namespace {

bool same_time(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool same_contents(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && same_time(a.st_mtim, b.st_mtim);
}

struct stat stat_of(const SourceFile& src) {
  return base::stat_fd(src.fd.get(), src.path);
}

}  // namespace

SourceFile open_operand(const std::string& path) {
  SourceFile src{.fd = {}, .path = path};
  const auto require_type = [&](int result) {
    if (result != 0) {
      base::throw_errno("cannot look up " + base::quoted(path));
    }
    if (!S_ISREG(src.st.st_mode) && !S_ISDIR(src.st.st_mode)) {
      throw base::BadData("cannot clone " + base::quoted(path) +
                          ": it is not a regular file or a directory");
    }
  };
  // The first check is before open(2), which would start a device. The second check is after it,
  // because only then the type is certain.
  require_type(::stat(path.c_str(), &src.st));
  src.fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  require_type(::fstat(src.fd.get(), &src.st));
  return src;
}

SourceFile open_source(int dir, const std::string& name, const std::string& path) {
  SourceFile src{.fd = base::Fd(::openat(dir, name.c_str(), O_RDONLY | file::kNoFollow)),
                 .path = path};
  if (!src.fd) {
    if (errno == ENOENT || errno == ELOOP || errno == ENXIO) {  // ENXIO: a socket
      throw_went_away(path);
    }
    base::throw_errno("cannot open " + base::quoted(path));
  }
  src.st = base::stat_fd(src.fd.get(), path);
  if (!S_ISREG(src.st.st_mode)) {
    throw base::Refused(
        "cannot clone " + base::quoted(path) +
        ": it was replaced during the clone; try again when no process changes the source");
  }
  return src;
}

void throw_went_away(const std::string& path) {
  throw base::Refused(
      "cannot clone " + base::quoted(path) +
      ": it was removed during the clone; try again when no process changes the source");
}

bool is_modified(const SourceFile& src) {
  return !same_contents(stat_of(src), src.st);
}

void require_unchanged(const SourceFile& src) {
  const struct stat now = stat_of(src);
  // A process that adds or removes a link of the inode changes its ctime, as concurrent clones of
  // sealed memory do. That is not a change of contents.
  const bool relinked = now.st_nlink != src.st.st_nlink || store::is_sealed(now);
  if (!same_contents(now, src.st) || (!relinked && !same_time(now.st_ctim, src.st.st_ctim))) {
    throw base::Refused("cannot clone " + base::quoted(src.path) + ": it changed during the clone" +
                        writers_text(src) + "; stop the writer first");
  }
}

std::string writers_text(const SourceFile& src) {
  for (const base::OpenFile& open : base::find_open_files(src.st)) {
    if (base::is_writable(open)) {
      return "; process " + std::to_string(open.pid) + " (" + base::process_name(open.pid) +
             ") has it open for writing";
    }
  }
  return "";
}

}  // namespace cloning
