// SPDX-License-Identifier: Apache-2.0
// A fault loop and its guest in one process.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <optional>

#include "base/error.h"
#include "pager/faults/fault_loop.h"
#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {

class FaultLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      guest_.emplace(kPages);
    } catch (const base::Unsupported& error) {
      GTEST_SKIP() << error.what();
    }
  }

  static constexpr uint64_t kPages = 256;

  // Serves `kPages` pages of a file that has holes at `holes`. Windows have no bound.
  FaultLoop& start(const std::set<uint64_t>& holes = {}, Window window = Window::automatic(0),
                   OnFailure on_failure = OnFailure::poison) {
    write_memory_file(dir_ / "memory", kPages, holes);
    image_ = Image::open(dir_ / "memory");
    return start_with_image({guest_->region()}, window, on_failure);
  }
  FaultLoop& start_with_image(const std::vector<hot::Region>& regions, Window window,
                              OnFailure on_failure) {
    mapping_.emplace(regions, image_->identity());
    mapping_->state().on_failure = on_failure;
    loop_.emplace(FaultLoopParts{.uffd = guest_->uffd(),
                                 .state = mapping_->state(),
                                 .image = *image_,
                                 .vmm = vmm_,
                                 .counters = counters_,
                                 .log = log_,
                                 .trace = nullptr},
                  window);
    return *loop_;
  }

  // Serves until the future is ready. Fails after a minute; the machine may be busy.
  template <typename T>
  T serve_until(std::future<T> future) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      struct pollfd fd {
        .fd = guest_->uffd(), .events = POLLIN, .revents = 0
      };
      ::poll(&fd, 1, 1);
      loop_->step();
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "still waiting after a minute";
        uffd_unregister(guest_->uffd(), guest_->base(),
                        kPages * hot::kSmallPage);  // releases the waiting thread
        break;
      }
    }
    return future.get();
  }
  uint64_t served(uint64_t page) { return serve_until(guest_->touch(page)); }
  void removed(uint64_t page, uint64_t count) {
    EXPECT_TRUE(serve_until(guest_->remove(page, count)));
  }
  // Runs the loop until no idle work is left.
  void work_off() {
    for (int i = 0; i < 10'000 && loop_->wait_ns(); ++i) {
      loop_->step();
    }
  }
  uint64_t count(Count which) const { return counters_.get(which); }
  void use_hot_list(const std::vector<hot::HotPage>& pages) {
    hot::HotList list;
    for (const hot::HotPage& page : pages) {
      list.runs.push_back({.region = page.region, .offset = page.offset});
    }
    loop_->prefetch(std::make_shared<HotFile>("hot", std::move(list)));
  }
  static uffd_msg fault_at(uint64_t address) {
    uffd_msg message{};
    message.event = UFFD_EVENT_PAGEFAULT;
    message.arg.pagefault.address = address;
    return message;
  }
  static uffd_msg removal_of(uint64_t start, uint64_t end) {
    uffd_msg message{};
    message.event = UFFD_EVENT_REMOVE;
    message.arg.remove.start = start;
    message.arg.remove.end = end;
    return message;
  }

  ScratchDir dir_;
  std::optional<TestGuest> guest_;
  std::shared_ptr<const Image> image_;
  std::optional<StateMapping> mapping_;
  Counters counters_;
  Vmm vmm_;
  SessionLog log_{"test", 0, 0};
  std::optional<FaultLoop> loop_;
};

}  // namespace pager
