// SPDX-License-Identifier: Apache-2.0
// Touches the pages of a VMM and verifies their contents.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "pager/probe/balloon.h"
#include "pager/probe/config.h"
#include "pager/probe/memory.h"
#include "pager/probe/record.h"
#include "pager/probe/vcpu.h"

namespace pager {

// The work of one VMM. Jobs (vCPUs) touch pages in order, and measure and verify each. A balloon
// removes pages at the same time, preferably those that a job waits for. If there were writes or
// removals, every page is then verified once more.
//
// The preference matters: a server that answers the faults of a batch before its removals leaves
// old bytes in the pages that were waited for. Each of 16 runs with 4096 or 8192 removed pages
// found 8 to 108 such pages. When only every other removal preferred a page that a job waits for,
// half of the runs found none.
//
// A touch that is never answered hangs its thread and run(). The parent process enforces the
// deadline.
class Sweep {
 public:
  // The references must outlive the Sweep. `order` contains at least one page.
  Sweep(const ProbeConfig& config, const MemoryFile& file, const GuestMemory& memory,
        std::vector<PageNumber> order, VmmRecord& record);

  // Throws the exception of the first thread that failed, for example to read the file.
  void run();

 private:
  void run_guarded(const std::function<void()>& body);
  void run_job(size_t job);
  void inflate_balloon();
  void verify_all_again();

  void touch_first(size_t job, PageNumber page, std::span<std::byte> buffer);
  void touch_again(size_t job, PageNumber page, std::span<std::byte> buffer);
  void load_from(size_t job, PageNumber page);
  void store_to(size_t job, PageNumber page, std::byte value);
  void verify(size_t job, PageNumber page, PageState before, std::span<std::byte> buffer);
  void report_mismatch(PageNumber page, PageState state, std::span<const std::byte> expected,
                       std::span<const std::byte> found);

  bool is_written(PageNumber page) const;
  size_t touched_byte(PageNumber page) const;
  std::optional<PageNumber> page_waited_for(size_t turn) const;

  const ProbeConfig& config_;
  const MemoryFile& file_;
  const GuestMemory& memory_;
  const std::vector<PageNumber> order_;
  VmmRecord& record_;

  std::optional<Vcpus> vcpus_;  // one for each job, with config.kvm
  PageStates states_;
  std::atomic<size_t> cursor_{0};  // the next index in order_
  std::atomic<bool> balloon_works_{false};
  std::atomic<bool> stop_{false};  // a thread has failed
  std::mutex mutex_;               // protects the members below
  std::exception_ptr failure_;
  std::unordered_set<PageNumber> bad_pages_;
};

}  // namespace pager
