// SPDX-License-Identifier: Apache-2.0
// The ioctls and reads of a userfaultfd, and the normalization of their results.
#include "pager/kernel/uffd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <exception>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "pager/kernel/features.h"

namespace pager {
namespace {

// `field` is copy, zeropage or updated: bytes done, a negative errno, or untouched. It counts bytes
// only after EAGAIN. After ESRCH it is 0; after other errors it repeats the errno.
RangeResult result_of(int returned, int error_number, int64_t field, uint64_t length) {
  if (returned == 0) {
    return {.error = 0, .done = length};
  }
  const bool partial = error_number == EAGAIN && field > 0;
  return {.error = error_number, .done = partial ? static_cast<uint64_t>(field) : 0};
}

}  // namespace

RangeResult uffd_copy(int uffd, uint64_t destination, const std::byte* source, uint64_t length,
                      Wake wake) {
  struct uffdio_copy copy {};
  copy.dst = destination;
  copy.src = reinterpret_cast<uintptr_t>(source);
  copy.len = length;
  copy.mode = wake == Wake::yes ? 0 : UFFDIO_COPY_MODE_DONTWAKE;
  const int returned = ::ioctl(uffd, UFFDIO_COPY, &copy);
  return result_of(returned, errno, copy.copy, length);
}

RangeResult uffd_zeropage(int uffd, uint64_t start, uint64_t length, Wake wake) {
  struct uffdio_zeropage zero {};
  zero.range = {.start = start, .len = length};
  zero.mode = wake == Wake::yes ? 0 : UFFDIO_ZEROPAGE_MODE_DONTWAKE;
  const int returned = ::ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
  return result_of(returned, errno, zero.zeropage, length);
}

RangeResult uffd_poison(int uffd, uint64_t start, uint64_t length) {
  struct uffdio_poison poison {};
  poison.range = {.start = start, .len = length};
  const int returned = ::ioctl(uffd, UFFDIO_POISON, &poison);
  return result_of(returned, errno, poison.updated, length);
}

uint64_t uffd_waiters(int uffd) {
  constexpr size_t kMost = 4096;
  constexpr std::string_view kTotal = "total:";
  uint64_t count = 0;
  try {
    const std::string info = base::read_file("/proc/self/fdinfo/" + std::to_string(uffd), kMost);
    size_t at = info.find(kTotal);
    if (at != std::string::npos) {
      at = info.find_first_not_of(" \t", at + kTotal.size());
      at = std::min(at, info.size());
      std::from_chars(info.data() + at, info.data() + info.size(), count);
    }
  } catch (const std::exception&) {
    return 0;
  }
  return count;
}

int uffd_wake(int uffd, uint64_t start, uint64_t length) {
  struct uffdio_range range {
    .start = start, .len = length
  };
  return ::ioctl(uffd, UFFDIO_WAKE, &range) == 0 ? 0 : errno;
}

int uffd_unregister(int uffd, uint64_t start, uint64_t length) {
  struct uffdio_range range {
    .start = start, .len = length
  };
  return ::ioctl(uffd, UFFDIO_UNREGISTER, &range) == 0 ? 0 : errno;
}

bool uffd_readable(int uffd) {
  struct pollfd wanted {
    .fd = uffd, .events = POLLIN, .revents = 0
  };
  return ::poll(&wanted, 1, 0) > 0;
}

size_t uffd_read(int uffd, std::span<uffd_msg> messages) {
  const struct iovec where { .iov_base = messages.data(), .iov_len = messages.size_bytes() };
  ssize_t n = -1;
  errno = EOPNOTSUPP;
  if (features().has(Feature::nowait_read)) {
    n = ::preadv2(uffd, &where, 1, -1, RWF_NOWAIT);
  }
  if (n < 0 && errno == EOPNOTSUPP) {
    n = ::readv(uffd, &where, 1);
  }
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    base::throw_errno("cannot read events of a userfaultfd");
  }
  return n < 0 ? 0 : static_cast<size_t>(n) / sizeof(uffd_msg);
}

bool uffd_has_nowait_read(int uffd) {
  // The buffer is too short for a message (EINVAL), but the kernel checks the flag first.
  std::byte small{};
  const struct iovec where { .iov_base = &small, .iov_len = sizeof small };
  return ::preadv2(uffd, &where, 1, -1, RWF_NOWAIT) >= 0 || errno == EINVAL;
}

bool is_userfaultfd(int fd) {
  std::array<char, 64> target{};
  const ssize_t n =
      ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), target.size());
  return n > 0 &&
         std::string_view(target.data(), static_cast<size_t>(n)) == "anon_inode:[userfaultfd]";
}

base::Fd uffd_create() {
  base::Fd fd;
  const base::Fd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  if (device) {
    constexpr unsigned long kUserfaultfdIocNew = 0xaa00;  // _IO(0xAA, 0x00), Linux 6.1
    fd = base::Fd(::ioctl(device.get(), kUserfaultfdIocNew, O_CLOEXEC | O_NONBLOCK));
  }
  if (!fd) {
    fd = base::Fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  }
  if (!fd) {
    if (errno == EPERM || errno == ENOSYS) {
      throw base::Unsupported(
          "cannot create a userfaultfd: not permitted; run as root, or set "
          "vm.unprivileged_userfaultfd=1");
    }
    base::throw_errno("cannot create a userfaultfd");
  }
  struct uffdio_api api {};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_EVENT_REMOVE;
  if (::ioctl(fd.get(), UFFDIO_API, &api) != 0) {
    throw base::Unsupported(
        "cannot use userfaultfd: this kernel does not have EVENT_REMOVE (Linux 4.11)");
  }
  return fd;
}

void uffd_register_missing(int uffd, uint64_t start, uint64_t length) {
  struct uffdio_register registration {};
  registration.range = {.start = start, .len = length};
  registration.mode = UFFDIO_REGISTER_MODE_MISSING;
  if (::ioctl(uffd, UFFDIO_REGISTER, &registration) != 0) {
    base::throw_errno("cannot register memory with userfaultfd");
  }
}

}  // namespace pager
