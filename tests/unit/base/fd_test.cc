// SPDX-License-Identifier: Apache-2.0
// Descriptors: owned once, read and written whole, never leaked into a child.
#include "base/fd.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "tests/unit/scratch_dir.h"

namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(FdTest, MovingAnFdClosesItsDescriptorOnce) {
  base::Fd a = base::open_file("/dev/null", O_RDONLY);
  const int number = a.get();
  base::Fd b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): the state after the move is tested
  EXPECT_EQ(b.get(), number);
  b = base::Fd();
  EXPECT_FALSE(is_open(number));
}

TEST(FdTest, OpenedFilesAreClosedOnExec) {
  const ScratchDir dir;
  const base::Fd file = base::open_file(dir / "f", O_RDWR | O_CREAT, 0600);
  const base::UnixListener listener(dir / "s", base::SocketClaim::by_lock);
  const auto client = base::connect_unix(dir / "s", base::Deadline::never());
  const auto server = listener.accept();
  ASSERT_TRUE(client && server);
  const pid_t child = ::fork();
  if (child == 0) {
    // The shell has 0, 1, 2 and the descriptor of its own /proc listing.
    ::execl("/bin/sh", "sh", "-c",
            "for f in /proc/self/fd/*; do n=${f##*/}; [ $n -gt 2 ] && readlink $f; done | grep -c "
            "'socket:\\|snapfork-test' | grep -qx 0",
            nullptr);
    ::_exit(99);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(FdTest, TryOpenReturnsNothingForAnAbsentFileAndThrowsOtherwise) {
  const ScratchDir dir;
  EXPECT_FALSE(base::try_open(dir / "absent", O_RDONLY));
  EXPECT_FALSE(base::try_open(dir / "absent/below", O_RDONLY));
  EXPECT_THROW(base::try_open(dir.path(), O_WRONLY), std::system_error);
}

TEST(FdTest, PreadFullStopsAtTheEndOfTheFile) {
  const ScratchDir dir;
  const base::Fd file = base::open_file(dir / "f", O_RDWR | O_CREAT, 0600);
  base::write_full(file.get(), "abcdef", "f");
  std::array<std::byte, 10> buffer{};
  EXPECT_EQ(base::pread_full(file.get(), buffer, 2, "f"), 4U);
  EXPECT_EQ(static_cast<char>(buffer[0]), 'c');
}

TEST(FdTest, ReadFileRefusesTooLongFilesDirectoriesAndFifos) {
  const ScratchDir dir;
  base::Fd file = base::open_file(dir / "f", O_WRONLY | O_CREAT, 0600);
  base::write_full(file.get(), std::string(100'000, 'x'), "f");
  EXPECT_EQ(base::read_file(dir / "f", 100'000).size(), 100'000U);
  EXPECT_THROW(base::read_file(dir / "f", 99'999), base::BadData);
  EXPECT_THROW(base::read_file(dir.path(), 10), base::BadData);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_THROW(base::read_file(dir / "fifo", 10), base::BadData);  // and does not hang
  EXPECT_THROW(base::read_file(dir / "absent", 10), std::system_error);
}

TEST(FdTest, AWriteToAFullDeviceIsAnError) {
  const base::Fd full = base::open_file("/dev/full", O_WRONLY);
  try {
    base::write_full(full.get(), "x", "full");
    FAIL() << "no error";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOSPC);
    EXPECT_STREQ(error.what(), "cannot write 'full': No space left on device");
  }
}

TEST(FdTest, ClosedStandardStreamsAreFilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(0);
    ::close(1);
    base::ensure_standard_fds();
    const base::Fd next = base::open_file("/dev/null", O_RDONLY);
    ::_exit(is_open(0) && is_open(1) && next.get() > 2 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
