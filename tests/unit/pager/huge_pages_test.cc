// SPDX-License-Identifier: Apache-2.0
// Tests 2 MiB pages, with a pool that has enough of them and with an empty one.
#include <sys/file.h>

#include <fstream>

#include "tests/unit/pager/fault_loop_fixture.h"
#include "tests/unit/pager/stranger.h"

namespace pager {
namespace {

// Sets the number of free pages in the kernel's pool and restores it afterward. All tests that
// change the pool lock it, as tests/huge_pages.bash does.
class Pool {
 public:
  explicit Pool(uint64_t free_pages) : lock_(base::open_file(kPool, O_RDONLY)) {
    if (::flock(lock_.get(), LOCK_EX) != 0) {
      base::throw_errno("cannot lock the pool");
    }
    before_ = read(kPool);
    set_free(free_pages);
  }
  ~Pool() { write(before_); }
  Pool(const Pool&) = delete;
  Pool(Pool&&) = delete;
  Pool& operator=(const Pool&) = delete;
  Pool& operator=(Pool&&) = delete;

  static uint64_t free() {
    return read("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  }
  static bool set_free(uint64_t pages) {
    write(read(kPool) - free() + pages);
    return free() == pages;
  }

 private:
  static uint64_t read(const char* path) {
    uint64_t value = 0;
    std::ifstream(path) >> value;
    return value;
  }
  static void write(uint64_t pages) { std::ofstream(kPool) << pages; }

  static constexpr const char* kPool = "/proc/sys/vm/nr_hugepages";
  base::Fd lock_;
  uint64_t before_ = 0;
};

class HugePagesTest : public FaultLoopTest {
 protected:
  static constexpr uint64_t kHuge = 6;
  static constexpr uint64_t kSmallPerHuge = hot::kHugePage / hot::kSmallPage;

  // The guest of FaultLoopTest has small pages.
  void SetUp() override {
    FaultLoopTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    guest_.reset();
    pool_.emplace(kHuge);
    if (Pool::free() != kHuge) {
      GTEST_SKIP() << "no 2 MiB pages here (vm.nr_hugepages)";
    }
    guest_.emplace(kHuge, hot::kHugePage);
  }
  FaultLoop& start_huge(const std::set<uint64_t>& huge_holes = {}) {
    std::set<uint64_t> holes;
    for (const uint64_t huge : huge_holes) {
      for (uint64_t i = 0; i < kSmallPerHuge; ++i) {
        holes.insert(huge * kSmallPerHuge + i);
      }
    }
    write_memory_file(dir_ / "memory", kHuge * kSmallPerHuge, holes);
    image_ = Image::open(dir_ / "memory");
    return start_with_image({guest_->region()}, Window::automatic(), OnFailure::poison);
  }
  static uint64_t first_word(uint64_t huge) { return page_word(huge * kSmallPerHuge); }

  std::optional<Pool> pool_;  // outlives the guest, which is reset first
  void TearDown() override {
    loop_.reset();
    guest_.reset();
  }
};

TEST_F(HugePagesTest, ServesWholePagesAndZerosInHoles) {
  start_huge({2});
  EXPECT_EQ(served(1), first_word(1));
  EXPECT_EQ(served(2), 0U);
  EXPECT_EQ(count(Count::bytes_read), hot::kHugePage) << "a hole is not read";
  for (uint64_t i = 0; i < kSmallPerHuge; ++i) {
    ASSERT_EQ(guest_->word(1, i * hot::kSmallPage / sizeof(uint64_t)),
              page_word(kSmallPerHuge + i));
  }
  EXPECT_FALSE(guest_->is_present(0)) << "one page a fault";
}

TEST_F(HugePagesTest, RemovedPagesReadAsZerosAndPartsAreNotRemoved) {
  start_huge();
  EXPECT_EQ(served(1), first_word(1));
  removed(1, 1);
  EXPECT_EQ(served(1), 0U);
  loop_->handle(std::vector<uffd_msg>{
      removal_of(guest_->address(3) + hot::kSmallPage, guest_->address(3) + 9 * hot::kSmallPage)});
  EXPECT_EQ(served(3), first_word(3));
}

TEST_F(HugePagesTest, InstallsAHotListAndCompletes) {
  start_huge({4});
  use_hot_list(
      {{.region = 0, .offset = 3 * hot::kHugePage}, {.region = 0, .offset = 4 * hot::kHugePage}});
  work_off();
  EXPECT_EQ(count(Count::pages_prefetched), 2U);
  EXPECT_TRUE(guest_->is_present(3));
  EXPECT_EQ(guest_->word(4), 0U);
  const auto completion = std::make_shared<Completion>(0);
  loop_->complete(completion);
  for (int i = 0; i < 1000 && completion->state() == Completion::State::running; ++i) {
    loop_->step();
  }
  // Without a pagemap the bitmaps are not trusted.
  EXPECT_EQ(completion->state(), Completion::State::failed);
  EXPECT_NE(completion->why().find("2 MiB"), std::string::npos) << completion->why();
}

// EEXIST may mean that the pool is empty, and the process that connected does not have the memory.
// The missing pages are unknown, so the memory is not unregistered.
TEST_F(HugePagesTest, RefusesACompletionThatCannotBeVerified) {
  start_huge();
  const Stranger stranger(dir_ / "s", guest_->region());
  vmm_ = stranger.as_vmm();
  ASSERT_TRUE(Pool::set_free(2));
  const auto completion = std::make_shared<Completion>(0);
  loop_->complete(completion);
  for (int i = 0; i < 1000 && completion->state() == Completion::State::running; ++i) {
    loop_->step();
  }
  EXPECT_EQ(completion->state(), Completion::State::failed);
  EXPECT_NE(completion->why().find("2 MiB"), std::string::npos) << completion->why();
  EXPECT_FALSE(loop_->detached());
  ASSERT_TRUE(Pool::set_free(6));
  EXPECT_EQ(served(5), first_word(5));
}

// With an empty pool the kernel returns EEXIST. Taken as "present", that would be an endless loop.
TEST_F(HugePagesTest, LogsAnEmptyPoolAndWaitsWithoutSpinning) {
  start_huge();
  ASSERT_TRUE(Pool::set_free(1));
  EXPECT_EQ(served(0), first_word(0));
  std::future<uint64_t> touched = guest_->touch(1);
  ASSERT_TRUE(wait_for_true([&] {
    loop_->step();
    return count(Count::out_of_memory) >= 1;
  }));
  const uint64_t calls = count(Count::copies);
  for (int i = 0; i < 1000; ++i) {
    loop_->step();
  }
  EXPECT_LE(count(Count::copies), calls + 2) << "the fault waits without retries";
  ASSERT_TRUE(loop_->wait_ns());
  EXPECT_GT(*loop_->wait_ns(), 0U);
  ASSERT_TRUE(Pool::set_free(4));
  EXPECT_EQ(serve_until(std::move(touched)), first_word(1));
}

}  // namespace
}  // namespace pager
