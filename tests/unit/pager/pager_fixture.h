// SPDX-License-Identifier: Apache-2.0
// A page server in this process, and the work of its VMMs.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/error.h"
#include "pager/serve/pager.h"
#include "tests/unit/pager/fake_vmm.h"
#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {

class PagerTest : public testing::Test {
 protected:
  static constexpr uint64_t kPages = 64;

  void SetUp() override {
    try {
      static_cast<void>(uffd_create());
    } catch (const base::Unsupported& error) {
      GTEST_SKIP() << error.what();
    }
    write_memory_file(dir_ / "memory", kPages);
    image_ = Image::open(dir_ / "memory");
  }
  void TearDown() override {
    stop();
    pager_.reset();
  }

  // A server whose run() is not called yet.
  Pager& make(Pager::Settings settings) {
    settings.record_dir = dir_.path();
    return pager_.emplace(std::move(settings));
  }
  void run() {
    thread_ = std::thread([this] { pager_->run(); });
  }
  Pager& start(Pager::Settings settings = {}) {
    make(std::move(settings));
    run();
    return *pager_;
  }
  // Ends run(). All sessions must have ended.
  void stop() {
    if (thread_.joinable()) {
      for (const SessionInfo& info : pager_->sessions()) {
        pager_->close(info.id);
      }
      pager_->drain();
      thread_.join();
    }
  }
  Endpoint endpoint(const std::string& id) const {
    Endpoint endpoint;
    endpoint.id = id;
    endpoint.socket_path = dir_ / (id + ".sock");
    endpoint.image = image_;
    return endpoint;
  }
  std::string state_of(const std::string& id) const {
    const std::optional<SessionInfo> info = pager_->session(id);
    return info ? info->state : "none";
  }
  bool wait_for_state(const std::string& id, const std::string& state) const {
    return wait_for_true([&] { return state_of(id) == state; });
  }
  std::string record(const std::string& id) const {
    std::ifstream file(dir_ / (id + ".vmm"));
    std::string line;
    std::getline(file, line);
    return line;
  }
  bool exists(const std::string& name) const { return std::filesystem::exists(dir_ / name); }

  static size_t open_descriptors() { return entries_in("/proc/self/fd"); }
  static size_t threads() { return entries_in("/proc/self/task"); }

  // For a child process: a failure is exit status 1.
  static void require(bool condition) {
    if (!condition) {
      throw std::runtime_error("not so");
    }
  }
  // Touches every page and returns whether all were correct.
  static bool all_right(const TestGuest& guest) {
    for (uint64_t page = 0; page < kPages; ++page) {
      if (guest.word(page) != page_word(page)) {
        return false;
      }
    }
    return true;
  }

  // Lets the VMMs continue.
  class Gate {
   public:
    void open(uint64_t times) const {
      ASSERT_EQ(::write(fd_.get(), &times, sizeof times), static_cast<ssize_t>(sizeof times));
    }
    void wait() const {
      uint64_t value = 0;
      require(::read(fd_.get(), &value, sizeof value) == sizeof value);
    }

   private:
    base::Fd fd_{::eventfd(0, EFD_SEMAPHORE)};
  };

  // Work of a FakeVmm. Ready: all memory was correct.
  static void verify_all(const TestGuest& guest, const base::Fd& /*socket*/,
                         const FakeVmm::Ready& ready) {
    require(all_right(guest));
    ready();
  }
  // Ready: the handshake is sent. A hang ends the VMM.
  static void verify_within_a_minute(const TestGuest& guest, const base::Fd& /*socket*/,
                                     const FakeVmm::Ready& ready) {
    ::alarm(60);
    ready();
    require(all_right(guest));
  }
  // Ready: the VMM is served. It verifies all memory when the gate opens.
  static auto verify_after(const Gate& gate) {
    return [&gate](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
      require(guest.word(0) == page_word(0));
      ready();
      gate.wait();
      require(all_right(guest));
    };
  }

  ScratchDir dir_;
  std::shared_ptr<const Image> image_;
  std::optional<Pager> pager_;
  std::thread thread_;

 private:
  static size_t entries_in(const char* dir) {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(dir), {}));
  }
};

}  // namespace pager
