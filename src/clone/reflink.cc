// SPDX-License-Identifier: Apache-2.0
// Calls FICLONE and FICLONERANGE, and explains their errors.
#include "clone/reflink.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>

#include "base/error.h"
#include "base/fd.h"
#include "file/cross_device.h"

namespace cloning {
namespace {

// A multiple of every block size that Linux mounts, so a FICLONERANGE of this length is aligned.
constexpr size_t kProbeBytes = 64 << 10;

bool is_an_answer(int error_number) {
  return error_number == EXDEV || error_number == EOPNOTSUPP || error_number == ENOTTY ||
         error_number == EINVAL;
}

const char* advice_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
      return "; free some space on the filesystem of the destination";
    case EDQUOT:
      return "; the disk quota of the destination is exhausted";
    case EIO:
      return "; the device fails; read the kernel log";
    case EPERM:
      return "; check whether the file is immutable or append-only (lsattr) and who owns the "
             "destination";
    case EROFS:
      return "; the destination is on a read-only mount, subvolume or snapshot";
    case ETXTBSY:
      return "; it is in use as a swap file; run swapoff first";
    case EMLINK:
      return "; the filesystem allows no more links to one file (ext4: 65000): "
             "fork a second template made of the same snapshot, or use reflink-clone "
             "--memory=reflink";
    case EFBIG:
      return "; raise RLIMIT_FSIZE (ulimit -f)";
    default:
      return "";
  }
}

// Creates an unnamed file in `dir`, which ends with its descriptor. If the filesystem cannot, puts
// the errno into `error`.
base::Fd anonymous_file(int dir, int& error) {
  base::Fd fd(::openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  error = fd ? 0 : errno == EISDIR ? EOPNOTSUPP : errno;
  return fd;
}

int answer_or_throw(int error_number, std::string_view path) {
  if (error_number == 0 || is_an_answer(error_number)) {
    return error_number;
  }
  throw_with_advice(error_number, "cannot probe reflinks in " + base::quoted(path));
}

}  // namespace

int try_reflink(int src, int dst, std::string_view src_path, std::string_view dst_path) {
  while (::ioctl(dst, FICLONE, src) != 0) {
    if (errno == EINTR) {
      continue;
    }
    if (is_an_answer(errno)) {
      return errno;
    }
    throw_with_advice(errno,
                      "cannot reflink " + base::quoted(src_path) + " to " + base::quoted(dst_path));
  }
  return 0;
}

int ask_reflink(int src, int dst) {
  // Offset 1 is not aligned to a block. A filesystem that can reflink returns EINVAL for that
  // before it reads the contents; EOPNOTSUPP, ENOTTY and EXDEV come earlier.
  struct file_clone_range range {
    .src_fd = src, .src_offset = 1, .src_length = 1, .dest_offset = 1
  };
  const bool refused = ::ioctl(dst, FICLONERANGE, &range) != 0 && errno != EINVAL;
  return refused && is_an_answer(errno) ? errno : 0;  // FICLONE itself reports any other problem
}

int probe_reflink(int src, int dst_dir, std::string_view dst_path) {
  int error = 0;
  const base::Fd dst = anonymous_file(dst_dir, error);
  if (error == 0) {
    struct file_clone_range range {
      .src_fd = src, .src_offset = 0, .src_length = kProbeBytes, .dest_offset = 0
    };
    error = ::ioctl(dst.get(), FICLONERANGE, &range) == 0 ? 0 : errno;
    if (error == EINVAL) {
      // For a shorter file, length 0 means the whole file.
      range.src_length = 0;
      error = ::ioctl(dst.get(), FICLONERANGE, &range) == 0 ? 0 : errno;
    }
  }
  return answer_or_throw(error, dst_path);
}

int probe_reflink_within(int dir, std::string_view path) {
  int error = 0;
  const base::Fd src = anonymous_file(dir, error);
  if (error != 0) {
    return answer_or_throw(error, path);
  }
  const std::array<std::byte, kProbeBytes> block{};
  base::pwrite_full(src.get(), block, 0, path);
  return probe_reflink(src.get(), dir, path);
}

void check_file_size_limit(int64_t size, std::string_view dst_path) {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      static_cast<uint64_t>(size) > limit.rlim_cur) {
    throw_with_advice(
        EFBIG, "cannot write " + base::quoted(dst_path) + " of " + std::to_string(size) + " bytes");
  }
}

std::string refusal_reason(int error_number, int src, int dst) {
  switch (error_number) {
    case EXDEV:
      return file::cross_device_reason(src, dst);
    case EINVAL:  // the filesystem supports it, but this file has no copy-on-write or is inline
      return "this file cannot share blocks on " + file::filesystem_name(dst);
    default:
      return file::filesystem_name(dst) + " cannot share blocks";
  }
}

void throw_with_advice(int error_number, const std::string& what) {
  throw base::Error(
      base::ExitCode::system,
      what + ": " + std::generic_category().message(error_number) + advice_for(error_number));
}

}  // namespace cloning
