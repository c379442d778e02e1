// SPDX-License-Identifier: Apache-2.0
// Sockets: one server per path, leftovers, descriptor passing, deadlines.
#include "base/unix_socket.h"
#include "base/unix_listener.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "tests/unit/scratch_dir.h"

namespace {

using base::Deadline;
using base::SocketClaim;
using base::UnixListener;

TEST(UnixSocketTest, ASocketPathHasAtMost107Bytes) {
  const ScratchDir dir;
  const std::string longest = dir / std::string(base::kMaxSocketPath - dir.path().size() - 1, 's');
  ASSERT_EQ(longest.size(), 107U);
  EXPECT_NO_THROW(UnixListener(longest, SocketClaim::directory_is_ours));
  try {
    const UnixListener listener(longest + "s", SocketClaim::directory_is_ours);
    FAIL();
  } catch (const base::UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("has 108 bytes"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("107"), std::string::npos);
  }
}

TEST(UnixSocketTest, TheSocketIsForItsOwnerOnly) {
  const ScratchDir dir;
  const mode_t old_mask = ::umask(0);
  const UnixListener listener(dir / "s", SocketClaim::by_lock);
  ::umask(old_mask);
  struct stat st {};
  ASSERT_EQ(::stat((dir / "s").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0600U);
}

TEST(UnixSocketTest, ASecondServerIsRefusedAndTheFirstLivesOn) {
  const ScratchDir dir;
  const UnixListener first(dir / "s", SocketClaim::by_lock);
  EXPECT_THROW(UnixListener(dir / "s", SocketClaim::by_lock), base::Refused);
  EXPECT_TRUE(base::connect_unix(dir / "s", Deadline::never()));
  EXPECT_TRUE(first.accept());
}

TEST(UnixSocketTest, ALiveServerWithoutALockFileKeepsItsSocket) {
  const ScratchDir dir;
  const UnixListener foreign(dir / "s", SocketClaim::directory_is_ours);  // has no lock file
  EXPECT_THROW(UnixListener(dir / "s", SocketClaim::by_lock), base::Refused);
  EXPECT_TRUE(base::connect_unix(dir / "s", Deadline::never()));
}

TEST(UnixSocketTest, TheSocketOfADeadServerIsReplacedAndAFileIsNot) {
  const ScratchDir dir;
  const pid_t child = ::fork();
  if (child == 0) {
    const UnixListener listener(dir / "s", SocketClaim::by_lock);
    ::_exit(0);  // without the destructor, as after kill -9
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_TRUE(std::filesystem::exists(dir / "s"));
  { const UnixListener listener(dir / "s", SocketClaim::by_lock); }
  EXPECT_FALSE(std::filesystem::exists(dir / "s"));  // and is removed at the end
  const base::Fd file = base::open_file(dir / "f", O_WRONLY | O_CREAT, 0600);
  EXPECT_THROW(UnixListener(dir / "f", SocketClaim::by_lock), std::system_error);
  EXPECT_TRUE(std::filesystem::exists(dir / "f"));
}

TEST(UnixSocketTest, ASuccessorsSocketIsNotUnlinked) {
  const ScratchDir dir;
  std::optional<UnixListener> old(std::in_place, dir / "s", SocketClaim::directory_is_ours);
  const UnixListener successor(dir / "s", SocketClaim::directory_is_ours);
  old.reset();
  EXPECT_TRUE(base::connect_unix(dir / "s", Deadline::never()));
}

TEST(UnixSocketTest, ConnectingToAnAbsentServerReturnsNothing) {
  const ScratchDir dir;
  EXPECT_FALSE(base::connect_unix(dir / "absent", Deadline::never()));
}

TEST(UnixSocketTest, DescriptorsAndBytesArriveTogether) {
  const ScratchDir dir;
  const UnixListener listener(dir / "s", SocketClaim::by_lock);
  const auto client = base::connect_unix(dir / "s", Deadline::never());
  const auto server = listener.accept();
  ASSERT_TRUE(client && server);
  const base::Fd file = base::open_file(dir / "f", O_RDWR | O_CREAT, 0600);
  const std::array<int, 2> sent{file.get(), file.get()};
  base::send_with_fds(client->get(), "hello", sent);
  std::array<std::byte, 64> buffer{};
  std::vector<base::Fd> fds;
  const base::Received received = base::recv_with_fds(server->get(), buffer, fds);
  EXPECT_EQ(received.bytes, 5U);
  ASSERT_EQ(fds.size(), 2U);
  struct stat here {};
  struct stat there {};
  ASSERT_EQ(::fstat(file.get(), &here), 0);
  ASSERT_EQ(::fstat(fds[0].get(), &there), 0);
  EXPECT_EQ(here.st_ino, there.st_ino);
  EXPECT_NE(::fcntl(fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_TRUE(base::recv_with_fds(server->get(), buffer, fds).would_block);
}

TEST(UnixSocketTest, PeerCredentialsAreThoseOfTheConnectingProcess) {
  const ScratchDir dir;
  const UnixListener listener(dir / "s", SocketClaim::by_lock);
  const auto client = base::connect_unix(dir / "s", Deadline::never());
  const auto server = listener.accept();
  ASSERT_TRUE(server);
  EXPECT_EQ(base::peer_credentials(server->get()).pid, ::getpid());
  EXPECT_EQ(base::peer_credentials(server->get()).uid, ::getuid());
}

TEST(UnixSocketTest, WaitingEndsAtTheDeadline) {
  const ScratchDir dir;
  const UnixListener listener(dir / "s", SocketClaim::by_lock);
  EXPECT_FALSE(
      base::wait_for(listener.fd(), POLLIN, Deadline::after(std::chrono::milliseconds(20))));
  const auto client = base::connect_unix(dir / "s", Deadline::never());
  EXPECT_TRUE(base::wait_for(listener.fd(), POLLIN, Deadline::never()));
}

}  // namespace
