// SPDX-License-Identifier: Apache-2.0
// Walks a tree and clones its entries.
#include "clone/tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <memory>
#include <utility>

#include "base/effect.h"
#include "base/error.h"
#include "base/file_status.h"
#include "clone/defrag.h"
#include "clone/destination.h"
#include "clone/reflink.h"
#include "clone/skip_rules.h"
#include "clone/sparse_copy.h"
#include "file/cross_device.h"
#include "store/seal.h"

namespace cloning {
namespace {

using Clock = std::chrono::steady_clock;

// A file with more data is copied by several threads itself. Smaller files are copied in parallel.
constexpr int64_t kWorthItsOwnThreads = 64 << 20;

constexpr mode_t kPermissionBits = 0777;

// Opens the parent directory of `relative` below `root`, one component at a time, because the path
// may be longer than PATH_MAX.
base::Fd open_parent_of(int root, const std::string& relative) {
  base::Fd dir = base::open_at(root, ".", O_PATH | O_DIRECTORY);
  size_t begin = 0;
  for (size_t slash = relative.find('/'); slash != std::string::npos;
       slash = relative.find('/', begin)) {
    dir = base::open_at(dir.get(), relative.substr(begin, slash - begin),
                        O_PATH | O_DIRECTORY | O_NOFOLLOW);
    begin = slash + 1;
  }
  return dir;
}

}  // namespace

void TreeCloner::clone(int src, int dst) {
  dst_root_ = dst;
  const struct stat st = base::stat_fd(src, report_.src);
  clone_children(src, dst, "");
  pool_.wait();
  if (!base::is_dry_run(request_.effect)) {
    attributes_.apply(src, st, dst, report_.dst);
  }
  ++report_.directories;
}

void TreeCloner::clone_children(int src, int dst, const std::string& relative) {
  for (const file::Entry& entry : file::list_directory(src, src_path(relative))) {
    const std::string child = relative.empty() ? entry.name : relative + "/" + entry.name;
    if (is_left_out(request_, child, entry.type)) {
      ++report_.skipped;
      continue;
    }
    const Step step{.src_dir = src, .dst_dir = dst, .name = entry.name, .relative = child};
    switch (entry.type) {
      case S_IFREG:
        clone_file(step);
        break;
      case S_IFDIR:
        clone_directory(step);
        break;
      case S_IFLNK:
        clone_symlink(step);
        break;
      default:
        throw base::BadData("cannot clone " + base::quoted(src_path(child)) +
                            ": it is a fifo or a device; remove it, or use --exclude");
    }
  }
}

void TreeCloner::clone_directory(const Step& step) {
  const std::string path = src_path(step.relative);
  const base::Fd src(
      ::openat(step.src_dir, step.name.c_str(), O_RDONLY | O_DIRECTORY | file::kNoFollow));
  if (!src) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
      throw_went_away(path);
    }
    base::throw_errno("cannot open directory " + base::quoted(path));
  }
  ++report_.directories;
  if (base::is_dry_run(request_.effect)) {
    clone_children(src.get(), step.dst_dir, step.relative);
    return;
  }
  const struct stat st = base::stat_fd(src.get(), path);
  // Writable by this process until it is complete; then it gets its mode.
  const mode_t mode = (st.st_mode & kPermissionBits) | S_IRWXU;
  if (::mkdirat(step.dst_dir, step.name.c_str(), mode) != 0) {
    throw_with_advice(errno, "cannot create directory " + base::quoted(dst_path(step.relative)));
  }
  const base::Fd dst(
      ::openat(step.dst_dir, step.name.c_str(), O_RDONLY | O_DIRECTORY | file::kNoFollow));
  if (!dst) {
    base::throw_errno("cannot open directory " + base::quoted(dst_path(step.relative)));
  }
  clone_children(src.get(), dst.get(), step.relative);
  attributes_.apply(src.get(), st, dst.get(), dst_path(step.relative));
}

void TreeCloner::clone_symlink(const Step& step) {
  ++report_.symlinks;
  struct stat st {};
  std::array<char, PATH_MAX> text{};
  const ssize_t length =
      ::readlinkat(step.src_dir, step.name.c_str(), text.data(), text.size() - 1);
  if (length < 0 || ::fstatat(step.src_dir, step.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT || errno == EINVAL) {  // EINVAL: it is no longer a symlink
      throw_went_away(src_path(step.relative));
    }
    base::throw_errno("cannot read symlink " + base::quoted(src_path(step.relative)));
  }
  if (request_.profile == Profile::vm &&
      link_leads_out(step.relative, std::string_view(text.data(), static_cast<size_t>(length)))) {
    throw base::BadData("cannot clone " + base::quoted(src_path(step.relative)) +
                        ": it is a symbolic link out of the directory, so all clones would "
                        "share " +
                        base::quoted(std::string(text.data(), static_cast<size_t>(length))) +
                        "; replace the link by that file, or use --exclude");
  }
  if (base::is_dry_run(request_.effect)) {
    return;
  }
  const std::string path = dst_path(step.relative);
  if (::symlinkat(text.data(), step.dst_dir, step.name.c_str()) != 0) {
    throw_with_advice(errno, "cannot create symlink " + base::quoted(path));
  }
  attributes_.apply_symlink(step.src_dir, st, step.dst_dir, step.name, path);
}

SourceFile TreeCloner::open_file(const Step& step) {
  SourceFile src = open_source(step.src_dir, step.name, src_path(step.relative));
  if (request_.defrag) {
    defragment(Destination(step.src_dir, step.name, src.path), src, request_, progress_);
  }
  return src;
}

void TreeCloner::clone_file(const Step& step) {
  const Clock::time_point begun = Clock::now();
  SourceFile src = open_file(step);
  const std::string path = dst_path(step.relative);
  FileReport& report = report_.files.emplace_back();
  if (request_.profile == Profile::vm && request_.memory == MemoryMode::link &&
      is_memory_path(step.relative)) {
    report = link_memory(step, src, path);
    report.elapsed = Clock::now() - begun;
    return;
  }
  if (src.st.st_nlink > 1) {
    const auto [sibling, is_first] = seen_.try_emplace(base::file_id(src.st), step.relative);
    if (!is_first) {
      report = link_to_sibling(step, src, sibling->second, path);
      report.elapsed = Clock::now() - begun;
      return;
    }
  }
  report.path = path;
  clone_contents(step, std::move(src), report);
}

void TreeCloner::clone_contents(const Step& step, SourceFile src, FileReport& report) {
  const bool copies_memory = request_.profile == Profile::vm &&
                             request_.memory == MemoryMode::copy && is_memory_path(step.relative);
  const ReflinkMode mode = copies_memory ? ReflinkMode::never : request_.reflink;
  if (base::is_dry_run(request_.effect)) {
    report = contents_.plan(src, step.dst_dir, report.path, mode);
    return;
  }
  // Writable by this process until it has its attributes: an unprivileged process needs that to
  // set some of them.
  base::Fd dst(::openat(step.dst_dir, step.name.c_str(),
                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        (src.st.st_mode & kPermissionBits) | S_IRUSR | S_IWUSR));
  if (!dst) {
    throw_with_advice(errno, "cannot create " + base::quoted(report.path));
  }
  const bool is_large = allocated_bytes(src.st) >= kWorthItsOwnThreads;
  // std::function must be copyable, so the members of the task are shared with its copies.
  const auto files =
      std::make_shared<std::pair<SourceFile, base::Fd>>(std::move(src), std::move(dst));
  const auto task = [this, files, mode, &report] {
    const Clock::time_point begun = Clock::now();
    const SourceFile& from = files->first;
    base::Fd& to = files->second;
    const std::string path = report.path;
    report = contents_.clone(from, to.get(), path, mode);
    attributes_.apply(from.fd.get(), from.st, to.get(), path);
    to.close_checked(path);
    report.elapsed = Clock::now() - begun;
  };
  if (is_large) {
    task();
  } else {
    pool_.submit(task);
  }
}

FileReport TreeCloner::link_memory(const Step& step, const SourceFile& src,
                                   const std::string& dst_path) const {
  if (!store::is_sealed(src.st)) {
    throw base::Refused("cannot link " + base::quoted(src.path) +
                        ": it is not sealed, and a write to it would change every clone; "
                        "seal it (template-lock seal) or use --memory=reflink");
  }
  const int64_t data = allocated_bytes(src.st);
  FileReport report{.path = dst_path,
                    .method = Method::link,
                    .size = src.st.st_size,
                    .linked = data,
                    .hole = src.st.st_size - data};
  if (base::is_dry_run(request_.effect)) {
    return report;
  }
  if (file::link_descriptor(src.fd.get(), step.dst_dir, step.name) != 0) {
    if (errno == EXDEV) {
      throw base::Unsupported("cannot link " + base::quoted(src.path) + " to " +
                              base::quoted(dst_path) + ": " +
                              file::cross_device_reason(src.fd.get(), step.dst_dir) +
                              "; put both on one mount, or use --memory=reflink");
    }
    if (errno == EPERM) {
      base::throw_errno("cannot link " + base::quoted(src.path) + " to " + base::quoted(dst_path) +
                        " (it is immutable or append-only, or another user's where "
                        "fs.protected_hardlinks is 1; --memory=reflink needs no link)");
    }
    throw_with_advice(errno,
                      "cannot link " + base::quoted(src.path) + " to " + base::quoted(dst_path));
  }
  const struct stat made = base::lstat_at(step.dst_dir, step.name, dst_path);
  if (!base::is_same_file(made, src.st) || !store::is_sealed(made)) {
    throw base::Refused("cannot link " + base::quoted(src.path) +
                        ": it was unsealed or replaced during the clone; try again");
  }
  return report;
}

FileReport TreeCloner::link_to_sibling(const Step& step, const SourceFile& src,
                                       const std::string& sibling,
                                       const std::string& dst_path) const {
  FileReport report{.path = dst_path, .method = Method::hardlink, .size = src.st.st_size};
  if (base::is_dry_run(request_.effect)) {
    return report;
  }
  const base::Fd dir = open_parent_of(dst_root_, sibling);
  const std::string name = sibling.substr(sibling.find_last_of('/') + 1);
  if (::linkat(dir.get(), name.c_str(), step.dst_dir, step.name.c_str(), 0) != 0) {
    throw_with_advice(errno, "cannot link " + base::quoted(dst_path) + " to " +
                                 base::quoted(report_.dst + "/" + sibling));
  }
  return report;
}

}  // namespace cloning
