#include "clone/source_file.h"

#include <fcntl.h>

#include <cerrno>

#include "base/error.h"
#include "base/open_files.h"
#include "base/process.h"
#include "clone/directory.h"

namespace cloning {
namespace {

bool same_time(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
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
                          ": it is neither a regular file nor a directory");
    }
  };
  // Before it is opened, which would start a device; and after, because only then is it certain.
  require_type(::stat(path.c_str(), &src.st));
  src.fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  require_type(::fstat(src.fd.get(), &src.st));
  return src;
}

SourceFile open_source(int dir, const std::string& name, const std::string& path) {
  SourceFile src{.fd = base::Fd(::openat(dir, name.c_str(), O_RDONLY | kNoFollow)), .path = path};
  if (!src.fd) {
    if (errno == ENOENT || errno == ELOOP || errno == ENXIO) {  // ENXIO: a socket
      throw_went_away(path);
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

void throw_went_away(const std::string& path) {
  throw base::Refused("cannot clone " + base::quoted(path) +
                      ": it went away meanwhile; run again when nobody changes the source");
}

void require_unchanged(const SourceFile& src) {
  struct stat now {};
  if (::fstat(src.fd.get(), &now) != 0) {
    base::throw_errno("cannot stat " + base::quoted(src.path));
  }
  // Who links or unlinks a name of the inode changes its ctime, as do clones of sealed memory
  // beside this one; that is no change of contents.
  const bool relinked = now.st_nlink != src.st.st_nlink || (now.st_mode & 0222) == 0;
  if (now.st_size != src.st.st_size || !same_time(now.st_mtim, src.st.st_mtim) ||
      (!relinked && !same_time(now.st_ctim, src.st.st_ctim))) {
    throw base::Refused("cannot clone " + base::quoted(src.path) + ": it changed meanwhile" +
                        writers_text(src) + "; stop who writes to it first");
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

ReadLease::ReadLease(int fd) : fd_(fd) {
  if (::fcntl(fd, F_SETLEASE, F_RDLCK) != 0) {
    state_ = errno == EAGAIN ? State::refused : State::unknown;
  }
}

ReadLease::~ReadLease() {
  if (state_ == State::held) {
    static_cast<void>(::fcntl(fd_, F_SETLEASE, F_UNLCK));
  }
}

ReadLease::State ReadLease::state() const {
  if (state_ == State::held && ::fcntl(fd_, F_GETLEASE) != F_RDLCK) {
    return State::refused;
  }
  return state_;
}

}  // namespace cloning
