// SPDX-License-Identifier: Apache-2.0
// Tests when the image.json of a template counts for a memory file.
#include "pager/image/known_zeros.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "meta/image/image_record.h"
#include "pager/image/image.h"
#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

constexpr uint64_t kPages = 64;

// A store with the template "t", whose pages 10 to 19 and 30 are zero but stored as data.
class KnownZerosTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(memory_of("t").parent_path());
    std::filesystem::create_directories(guest("t") / "template");
    write_memory_file(memory_of("t"), kPages);
    const std::vector<std::byte> zeros(10 * hot::kSmallPage);
    const base::Fd file = base::open_file(memory_of("t"), O_WRONLY);
    base::pwrite_full(file.get(), zeros, 10 * hot::kSmallPage, "memory");
    base::pwrite_full(file.get(), std::span(zeros).first(hot::kSmallPage), 30 * hot::kSmallPage,
                      "memory");
    seal();
    record_.memory_bytes = kPages * hot::kSmallPage;
    record_.digest = "d";
    record_.zero_pages = 11;
    record_.zero_runs = {{.first = 10, .count = 10}, {.first = 30, .count = 1}};
    write_record();
  }
  std::filesystem::path guest(const std::string& id) {
    return std::filesystem::path(dir_ / "guests") / id;
  }
  std::filesystem::path memory_of(const std::string& id) {
    return guest(id) / "snapshots/snapshot-latest/memory";
  }
  void seal() { ASSERT_EQ(::chmod(memory_of("t").c_str(), 0444), 0); }
  void write_record() {
    std::ofstream(guest("t") / "template/image.json") << meta::to_json(record_);
  }
  void make_fork(const std::string& id) {
    std::filesystem::create_directories(memory_of(id).parent_path());
    std::filesystem::create_hard_link(memory_of("t"), memory_of(id));
    std::ofstream(guest(id) / "metadata.json") << R"({"ForkOfTemplate":"t"})";
  }
  bool knows(const std::filesystem::path& memory) const {
    const auto image = Image::open(memory);
    const bool first = !image->data().has_data(10 * hot::kSmallPage, 20 * hot::kSmallPage);
    const bool second = !image->data().has_data(30 * hot::kSmallPage, 31 * hot::kSmallPage);
    EXPECT_EQ(first, second);
    EXPECT_TRUE(image->data().has_data(9 * hot::kSmallPage, 10 * hot::kSmallPage));
    EXPECT_TRUE(image->data().has_data(20 * hot::kSmallPage, 21 * hot::kSmallPage));
    EXPECT_TRUE(image->data().has_data(31 * hot::kSmallPage, 32 * hot::kSmallPage));
    EXPECT_EQ(image->data_is_nonzero(), first && record_.zero_runs_from_pages == 1);
    return first;
  }

  ScratchDir dir_;
  meta::ImageRecord record_;
};

TEST_F(KnownZerosTest, UsesTheRecordOfATemplate) {
  EXPECT_TRUE(knows(memory_of("t")));
}

TEST_F(KnownZerosTest, UsesTheRecordForAForkThatSharesTheInode) {
  make_fork("f");
  EXPECT_TRUE(knows(memory_of("f")));
}

TEST_F(KnownZerosTest, IgnoresTheRecordForAForkWithItsOwnMemory) {
  make_fork("f");
  std::filesystem::remove(memory_of("f"));
  std::filesystem::copy_file(memory_of("t"), memory_of("f"));
  EXPECT_FALSE(knows(memory_of("f")));
}

TEST_F(KnownZerosTest, IgnoresTheRecordOfChangedMemory) {
  ASSERT_EQ(::chmod(memory_of("t").c_str(), 0644), 0);
  EXPECT_FALSE(knows(memory_of("t")));
  seal();
  EXPECT_TRUE(knows(memory_of("t")));
  const std::array<struct timespec, 2> later{
      {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 4'000'000'000, .tv_nsec = 0}}};
  ASSERT_EQ(::utimensat(AT_FDCWD, memory_of("t").c_str(), later.data(), 0), 0);
  EXPECT_FALSE(knows(memory_of("t")));
  const std::array<struct timespec, 2> earlier{
      {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 1000, .tv_nsec = 0}}};
  ASSERT_EQ(::utimensat(AT_FDCWD, memory_of("t").c_str(), earlier.data(), 0), 0);
  record_.memory_bytes += hot::kSmallPage;
  write_record();
  EXPECT_FALSE(knows(memory_of("t")));
}

TEST_F(KnownZerosTest, IgnoresAMalformedRecord) {
  std::ofstream(guest("t") / "template/image.json") << "nonsense";
  EXPECT_FALSE(knows(memory_of("t")));
}

TEST_F(KnownZerosTest, AMapWithoutShortRunsIsNotComplete) {
  record_.zero_runs_from_pages = 2;
  write_record();
  EXPECT_TRUE(knows(memory_of("t")));
}

}  // namespace
}  // namespace pager
