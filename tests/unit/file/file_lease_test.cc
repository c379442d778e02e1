// SPDX-License-Identifier: Apache-2.0
// A lease detects other descriptors of a file.
#include "file/file_lease.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fstream>

#include "base/fd.h"
#include "tests/unit/scratch_dir.h"

namespace {

using file::FileLease;
using State = FileLease::State;

class FileLeaseTest : public testing::Test {
 protected:
  FileLeaseTest() {
    std::ofstream(path_) << "contents";
    fd_ = base::open_file(path_, O_RDONLY);
    if (state(FileLease::Kind::read) == State::unsupported) {
      unsupported_ = true;
    }
  }
  void SetUp() override {
    if (unsupported_) {
      GTEST_SKIP() << "no leases here";
    }
  }
  State state(FileLease::Kind kind) const { return FileLease(fd_.get(), kind).state(); }

  ScratchDir dir_;
  std::string path_ = dir_ / "file";
  base::Fd fd_;
  bool unsupported_ = false;
};

TEST_F(FileLeaseTest, AReadLeaseIsRefusedWhileAnybodyMayWrite) {
  EXPECT_EQ(state(FileLease::Kind::read), State::held);
  const base::Fd reader = base::open_file(path_, O_RDONLY);
  EXPECT_EQ(state(FileLease::Kind::read), State::held);
  base::Fd writer = base::open_file(path_, O_RDWR);
  EXPECT_EQ(state(FileLease::Kind::read), State::refused);
  // A mapping counts as a writer even after its descriptor is closed.
  void* const mapping = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer.get(), 0);
  ASSERT_NE(mapping, MAP_FAILED);
  writer.reset();
  EXPECT_EQ(state(FileLease::Kind::read), State::refused);
  ::munmap(mapping, 4096);
  EXPECT_EQ(state(FileLease::Kind::read), State::held);
}

TEST_F(FileLeaseTest, AWriteLeaseIsRefusedWhileAnybodyReads) {
  EXPECT_EQ(state(FileLease::Kind::write), State::held);
  const base::Fd reader = base::open_file(path_, O_RDONLY);
  EXPECT_EQ(state(FileLease::Kind::write), State::refused);
}

TEST_F(FileLeaseTest, ALeaseThatAWriterWaitsForIsRefused) {
  const FileLease lease(fd_.get(), FileLease::Kind::read);
  EXPECT_EQ(lease.state(), State::held);
  EXPECT_EQ(::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EWOULDBLOCK);
  EXPECT_EQ(lease.state(), State::refused);
}

}  // namespace
