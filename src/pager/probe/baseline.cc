// SPDX-License-Identifier: Apache-2.0
// Times anonymous faults, a minimal page server, and the copy rate.
#include "pager/probe/baseline.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

void measure_anonymous(const MemoryFile& file, std::span<const PageNumber> pages,
                       Histogram& histogram) {
  const GuestMemory memory(file.bytes(), file.page_size(), 1);
  const hot::Region& region = memory.regions().front();
  // A transparent huge page would also answer the faults of its other 511 pages. EINVAL: this
  // kernel does not support them.
  ::madvise(memory.address(0), region.size, MADV_NOHUGEPAGE);
  for (const PageNumber page : pages) {
    auto* const at = reinterpret_cast<volatile std::byte*>(memory.address(page));
    const uint64_t start = monotonic_ns();
    *at = std::byte{1};
    histogram.add(monotonic_ns() - start);
  }
}

// A minimal page server, for one region at file offset 0.
void serve_faults(int uffd, int stop, const hot::Region& region, const MemoryFile& file) {
  std::vector<std::byte> buffer(file.page_size());
  std::array<struct pollfd, 2> fds{
      {{.fd = uffd, .events = POLLIN, .revents = 0}, {.fd = stop, .events = POLLIN, .revents = 0}}};
  for (;;) {
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) {
      base::throw_errno("cannot wait for page faults");
    }
    if (fds[1].revents != 0) {
      return;
    }
    uffd_msg message{};
    if (uffd_read(uffd, std::span(&message, 1)) == 1) {
      const uint64_t offset =
          (message.arg.pagefault.address - region.base) & ~(file.page_size() - 1);
      file.read_page(static_cast<PageNumber>(offset / file.page_size()), buffer);
      uffd_copy(uffd, region.base + offset, buffer.data(), file.page_size());
    }
  }
}

void measure_copy_loop(const MemoryFile& file, std::span<const PageNumber> pages,
                       Histogram& histogram) {
  const GuestMemory memory(file.bytes(), file.page_size(), 1);
  const hot::Region& region = memory.regions().front();
  base::Fd uffd = uffd_create();
  uffd_register_missing(uffd.get(), region.base, region.size);
  const base::Fd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) {
    base::throw_errno("cannot create an eventfd");
  }
  std::exception_ptr failure;
  std::jthread server([&] {
    try {
      serve_faults(uffd.get(), stop.get(), region, file);
    } catch (...) {
      failure = std::current_exception();
      uffd_unregister(uffd.get(), region.base, region.size);  // releases waiting threads
    }
  });
  for (const PageNumber page : pages) {
    const auto* const at = reinterpret_cast<volatile std::byte*>(memory.address(page));
    const uint64_t start = monotonic_ns();
    static_cast<void>(*at);
    histogram.add(monotonic_ns() - start);
  }
  ::eventfd_write(stop.get(), 1);
  server.join();
  if (failure) {
    std::rethrow_exception(failure);
  }
}

uint64_t measure_copy_rate(const MemoryFile& file) {
  constexpr uint64_t kMost = uint64_t{256} << 20U;
  const uint64_t piece = std::max<uint64_t>(uint64_t{64} << 10U, file.page_size());
  const uint64_t bytes = std::min(file.bytes(), kMost) / file.page_size() * file.page_size();
  const GuestMemory memory(bytes, file.page_size(), 1);
  const hot::Region& region = memory.regions().front();
  const base::Fd uffd = uffd_create();
  uffd_register_missing(uffd.get(), region.base, region.size);
  std::vector<std::byte> buffer(piece);
  const uint64_t start = monotonic_ns();
  for (uint64_t offset = 0; offset < bytes;) {
    const uint64_t length = std::min(piece, bytes - offset);
    file.read(offset, std::span(buffer).first(length));
    const RangeResult result = uffd_copy(uffd.get(), region.base + offset, buffer.data(), length);
    if (result.error != 0) {
      base::throw_error_number(result.error, "cannot copy into memory");
    }
    offset += length;
  }
  constexpr uint64_t kNsPerSecond = 1'000'000'000;
  const uint64_t ns = std::max<uint64_t>(monotonic_ns() - start, 1);
  return static_cast<uint64_t>(static_cast<double>(bytes) * kNsPerSecond / static_cast<double>(ns));
}

}  // namespace

void measure_baseline(const MemoryFile& file, std::span<const PageNumber> order,
                      Baseline& baseline) {
  constexpr size_t kSample = 16384;
  const std::span<const PageNumber> pages = order.first(std::min(order.size(), kSample));
  measure_anonymous(file, pages, baseline.anonymous);
  measure_copy_loop(file, pages, baseline.copy_loop);
  // The first pass includes the allocation of memory by the host, so the best of the passes counts.
  constexpr int kPasses = 3;
  for (int i = 0; i < kPasses; ++i) {
    baseline.copy_bytes_per_second =
        std::max(baseline.copy_bytes_per_second.load(), measure_copy_rate(file));
  }
}

}  // namespace pager
