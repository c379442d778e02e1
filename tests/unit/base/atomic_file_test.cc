// SPDX-License-Identifier: Apache-2.0
// Atomic replacement: the old or the new file, with the requested mode, and no leftovers.
#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "tests/unit/child_process.h"
#include "tests/unit/scratch_dir.h"

namespace {

size_t entries(const std::string& dir) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir)) {
    ++count;
  }
  return count;
}

TEST(AtomicFileTest, ReplacesTheFileAndLeavesNoTemporary) {
  const ScratchDir dir;
  const mode_t old_mask = ::umask(077);
  base::write_file_atomic(dir / "f", "one", 0644, base::Durable::no);
  base::write_file_atomic(dir / "f", "two", 0644, base::Durable::yes);
  ::umask(old_mask);
  EXPECT_EQ(base::read_file(dir / "f", 10), "two");
  struct stat st {};
  ASSERT_EQ(::stat((dir / "f").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0644U);
  EXPECT_EQ(entries(dir.path()), 1U);
}

TEST(AtomicFileTest, AReaderOfTheOldFileKeepsIt) {
  const ScratchDir dir;
  base::write_file_atomic(dir / "f", "one", 0600, base::Durable::no);
  const base::Fd reader = base::open_file(dir / "f", O_RDONLY);
  base::write_file_atomic(dir / "f", "two", 0600, base::Durable::no);
  EXPECT_EQ(base::read_all(reader.get(), 10, "f"), "one");
}

TEST(AtomicFileTest, ALeftoverOfAKilledWriterIsReplacedNotWrittenInto) {
  const ScratchDir dir;
  base::write_file_atomic(dir / "other", "precious", 0600, base::Durable::no);
  ASSERT_EQ(::link((dir / "other").c_str(), (dir / ".f.snapfork-tmp").c_str()), 0);
  base::write_file_atomic(dir / "f", "new", 0600, base::Durable::no);
  EXPECT_EQ(base::read_file(dir / "other", 10), "precious");
  EXPECT_EQ(entries(dir.path()), 2U);
}

TEST(AtomicFileTest, ANewFileNeverReplacesOne) {
  const ScratchDir dir;
  EXPECT_TRUE(base::create_file_atomic(dir / "f", "one", 0600, base::Durable::yes));
  EXPECT_FALSE(base::create_file_atomic(dir / "f", "two", 0600, base::Durable::no));
  EXPECT_EQ(base::read_file(dir / "f", 10), "one");
  EXPECT_EQ(entries(dir.path()), 1U);
}

// Many writers share one temporary name: each result is complete and from one writer.
TEST(AtomicFileTest, WritersOfOneFileTakeTurns) {
  const ScratchDir dir;
  constexpr int kWriters = 4;
  std::vector<std::unique_ptr<ChildProcess>> writers;
  writers.reserve(kWriters);
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.push_back(std::make_unique<ChildProcess>([&](const auto& /*ready*/) {
      for (int i = 0; i < 200; ++i) {
        base::write_file_atomic(dir / "f", std::string(1000, static_cast<char>('a' + writer)), 0600,
                                base::Durable::no);
        const std::string seen = base::read_file(dir / "f", 2000);
        if (seen != std::string(1000, seen.empty() ? '?' : seen[0])) {
          throw base::BadData("torn");
        }
      }
    }));
  }
  for (const auto& writer : writers) {
    EXPECT_EQ(writer->wait(), 0);
  }
  EXPECT_EQ(entries(dir.path()), 1U);
}

TEST(AtomicFileTest, AFailureLeavesTheOldFile) {
  const ScratchDir dir;
  std::filesystem::create_directories(dir / "f/below");
  EXPECT_THROW(base::write_file_atomic(dir / "f", "x", 0600, base::Durable::no), std::system_error);
  EXPECT_TRUE(std::filesystem::exists(dir / "f/below"));
  EXPECT_EQ(entries(dir.path()), 1U);
  EXPECT_THROW(base::write_file_atomic(dir / "absent/f", "x", 0600, base::Durable::no),
               std::system_error);
}

TEST(AtomicFileTest, TemporaryNamesAreRecognized) {
  EXPECT_TRUE(base::is_temporary_name(".metadata.json.snapfork-tmp"));
  EXPECT_FALSE(base::is_temporary_name("metadata.json"));
  EXPECT_FALSE(base::is_temporary_name("x.snapfork-tmp"));
}

}  // namespace
