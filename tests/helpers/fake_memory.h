// SPDX-License-Identifier: Apache-2.0
// The memory of fake-firecracker's guest: a private mapping of a file, or a userfaultfd that a page
// server serves. It is read and written by one thread, page by page, in a fixed order.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/unix_socket.h"
#include "pager/kernel/uffd.h"
#include "pager/probe/memory.h"
#include "pager/protocol/handshake.h"
#include "tests/helpers/fake_request.h"

class FakeMemory {
 public:
  FakeMemory(uint64_t bytes, uint64_t page_size, size_t regions)
      : bytes_(bytes), memory_(bytes, page_size, regions) {}

  // Maps the file privately, as the back end File does.
  void map(const std::string& path) {
    if (memory_.page_size() != hot::kSmallPage) {
      throw FakeFatal(kLoadFailed +
                      "Cannot restore hugetlbfs backed snapshot by mapping the memory file. Please "
                      "use uffd.");
    }
    const base::Fd file = open_memory(path);
    if (static_cast<uint64_t>(base::stat_fd(file.get(), path).st_size) < bytes_) {
      throw FakeFatal(
          kLoadFailed +
          "Error creating guest memory from file: Failed to restore guest memory: Total "
          "sum of memory regions exceeds largest possible file offset");
    }
    for (const hot::Region& region : memory_.regions()) {
      if (::mmap(page(static_cast<pager::PageNumber>(region.offset / page_size())), region.size,
                 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, file.get(),
                 static_cast<off_t>(region.offset)) == MAP_FAILED) {
        base::throw_errno("cannot map " + base::quoted(path));
      }
    }
  }

  // Registers the memory and sends the handshake, as the back end Uffd does. The connection stays
  // open if `keep`.
  void serve_from(const std::string& socket_path, bool keep) {
    uffd_ = pager::uffd_create();
    for (const hot::Region& region : memory_.regions()) {
      pager::uffd_register_missing(uffd_.get(), region.base, region.size);
    }
    std::optional<base::Fd> socket = base::connect_unix(socket_path, base::Deadline::never());
    if (!socket) {
      throw FakeFatal(
          kLoadFailed +
          "Error creating guest memory from uffd: Failed to connect to UDS Unix stream");
    }
    base::send_with_fds(socket->get(), pager::compose_handshake(memory_.regions()),
                        std::array{uffd_.get()});
    if (keep) {
      server_ = std::move(*socket);
    }
  }

  uint64_t bytes() const { return bytes_; }
  uint64_t page_size() const { return memory_.page_size(); }
  pager::PageNumber pages() const { return static_cast<pager::PageNumber>(bytes_ / page_size()); }

  // Reads one byte of a page, which is a page fault if the page is missing.
  std::byte touch(pager::PageNumber number) const {
    const volatile std::byte* const byte = page(number);
    return *byte;
  }

  // Adds 1 to the first 64-bit word of `count` pages, which are evenly distributed.
  void work(uint64_t count) {
    for (uint64_t i = 0; i < count && count <= pages(); ++i) {
      const auto number = static_cast<pager::PageNumber>(i * (pages() / count));
      uint64_t word = 0;
      std::memcpy(&word, page(number), sizeof word);
      ++word;
      std::memcpy(page(number), &word, sizeof word);
      dirty_.insert(number);
    }
  }

  // Returns the first page that differs from the file; nothing if all are equal.
  std::optional<pager::PageNumber> compare(const std::string& path) const {
    const pager::MemoryFile file(path, page_size());
    std::vector<std::byte> expected(page_size());
    for (pager::PageNumber number = 0; number < pages(); ++number) {
      file.read_page(number, expected);
      if (std::memcmp(page(number), expected.data(), expected.size()) != 0) {
        return number;
      }
    }
    return {};
  }

  // Writes the memory as Firecracker does: in place if the file has the expected length, else into
  // an empty file. A Diff has the pages that were written since the load or the last snapshot, or,
  // without dirty-page tracking, those that mincore(2) reports.
  enum class Type { full, diff };
  void write(const std::string& path, Type type, bool tracked, bool half) {
    const base::Fd file = base::open_file(path, O_WRONLY | O_CREAT, 0644);
    const auto size = static_cast<off_t>(bytes_);
    if (base::stat_fd(file.get(), path).st_size != size &&
        (::ftruncate(file.get(), 0) != 0 || ::ftruncate(file.get(), size) != 0)) {
      base::throw_errno("cannot set the length of " + base::quoted(path));
    }
    for (pager::PageNumber number = 0; number < (half ? pages() / 2 : pages()); ++number) {
      if (type == Type::full || (tracked ? dirty_.contains(number) : is_in_core(number))) {
        base::pwrite_full(file.get(), std::span(page(number), page_size()),
                          static_cast<off_t>(uint64_t{number} * page_size()), path);
      }
    }
    base::sync_fd(file.get(), path);
    if (!half) {
      dirty_.clear();
    }
  }

  inline static const std::string kLoadFailed =
      "Load snapshot error: Failed to restore from snapshot: Failed to load guest memory: ";

 private:
  std::byte* page(pager::PageNumber number) const { return memory_.address(number); }
  bool is_in_core(pager::PageNumber number) const {
    std::vector<unsigned char> present(page_size() / hot::kSmallPage);
    return ::mincore(page(number), page_size(), present.data()) == 0 && (present[0] & 1U) != 0;
  }
  static base::Fd open_memory(const std::string& path) {
    try {
      return base::open_file(path, O_RDONLY);
    } catch (const std::system_error& error) {
      throw FakeFatal(kLoadFailed + "Error creating guest memory from file: " +
                      "Failed to load guest memory: " + error.code().message());
    }
  }

  uint64_t bytes_;
  pager::GuestMemory memory_;
  base::Fd uffd_;
  base::Fd server_;
  std::set<pager::PageNumber> dirty_;
};
