// SPDX-License-Identifier: Apache-2.0
// Listening in a directory of another user, and replacing a socket without a gap.
#include "base/unix_listener.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/unix_socket.h"
#include "tests/unit/scratch_dir.h"

namespace {

using base::Deadline;
using base::SocketClaim;
using base::UnixListener;

bool someone_listens(const std::string& path) {
  return base::connect_unix(path, Deadline::after(std::chrono::minutes(1))).has_value();
}

std::string reason_of_refusal(const std::string& path) {
  try {
    const UnixListener listener(path, SocketClaim::by_lock);
    return "";
  } catch (const base::Refused& error) {
    return error.what();
  }
}

TEST(UnixListenerTest, APreparedSocketReplacesTheOneBeforeInOneStep) {
  const ScratchDir dir;
  std::optional<UnixListener> old(std::in_place, dir / "s", SocketClaim::directory_is_ours);
  UnixListener next = UnixListener::prepare(dir / "s", {});
  ASSERT_TRUE(someone_listens(dir / "s"));
  EXPECT_TRUE(old->accept()) << "the prepared one has the name already";
  next.publish();
  ASSERT_TRUE(someone_listens(dir / "s"));
  EXPECT_TRUE(next.accept());
  old.reset();
  EXPECT_TRUE(someone_listens(dir / "s"));
}

TEST(UnixListenerTest, AnUnpublishedSocketLeavesNoFile) {
  const ScratchDir dir;
  { const UnixListener prepared = UnixListener::prepare(dir / "s", {}); }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(UnixListenerTest, AfterStopNewConnectionsFailAndEarlierOnesAreAccepted) {
  const ScratchDir dir;
  UnixListener listener(dir / "s", SocketClaim::directory_is_ours);
  std::filesystem::create_hard_link(dir / "s", dir / "jailed");
  ASSERT_TRUE(someone_listens(dir / "jailed"));
  listener.stop();
  EXPECT_FALSE(std::filesystem::exists(dir / "s"));
  EXPECT_FALSE(someone_listens(dir / "jailed"));
  EXPECT_TRUE(listener.accept());
  EXPECT_FALSE(listener.accept());
}

TEST(UnixListenerTest, ALockFileThatIsAFifoIsRefusedAtOnce) {
  const ScratchDir dir;
  ASSERT_EQ(::mkfifo((dir / "s.lock").c_str(), 0600), 0);
  EXPECT_NE(reason_of_refusal(dir / "s").find("not a regular file"), std::string::npos);
}

TEST(UnixListenerTest, ALockFileOfAnotherUserIsRefusedByName) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const ScratchDir dir;
  base::open_file(dir / "s.lock", O_RDONLY | O_CREAT, 0600);
  ASSERT_EQ(::chown((dir / "s.lock").c_str(), 12345, static_cast<gid_t>(-1)), 0);
  EXPECT_NE(reason_of_refusal(dir / "s").find("it belongs to user 12345"), std::string::npos);
}

TEST(UnixListenerTest, ALockFileThatIsAHardLinkIsRefusedByName) {
  const ScratchDir dir;
  base::open_file(dir / "other", O_RDONLY | O_CREAT, 0600);
  std::filesystem::create_hard_link(dir / "other", dir / "s.lock");
  EXPECT_NE(reason_of_refusal(dir / "s").find("hard links"), std::string::npos);
}

TEST(UnixListenerTest, ChangingTheOwnerOfASocketChangesNoOtherFile) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const ScratchDir dir;
  ASSERT_EQ(::chown(dir.path().c_str(), 12345, static_cast<gid_t>(-1)), 0);
  const UnixListener listener(dir / "s", SocketClaim::by_lock, 12345);
  struct stat st {};
  ASSERT_EQ(::lstat((dir / "s").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 12345U);
  EXPECT_EQ(st.st_mode & 07777U, 0600U);
  EXPECT_TRUE(someone_listens(dir / "s"));
  // Only the socket and its lock file exist.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 2);
}

}  // namespace
