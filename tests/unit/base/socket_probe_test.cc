// SPDX-License-Identifier: Apache-2.0
// Whether a process listens on a socket.
#include "base/socket_probe.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "tests/unit/scratch_dir.h"

namespace {

TEST(SocketProbeTest, AListenerIsInUseAndNamed) {
  const ScratchDir dir;
  const base::UnixListener listener(dir / "api.sock", base::SocketClaim::directory_is_ours);
  EXPECT_TRUE(base::probe_socket(dir / "api.sock").in_use);
  EXPECT_EQ(base::probe_socket(dir / "api.sock").pid, ::getpid());
}

TEST(SocketProbeTest, ALeftoverSocketAndOtherFilesAreNotInUse) {
  const ScratchDir dir;
  EXPECT_FALSE(base::probe_socket(dir / "absent").in_use);
  EXPECT_FALSE(base::probe_socket(dir / "absent/below").in_use);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(base::probe_socket(dir / "fifo").in_use);  // and it does not block
  std::optional<base::UnixListener> listener;
  listener.emplace(dir / "leftover", base::SocketClaim::directory_is_ours);
  ASSERT_EQ(::link((dir / "leftover").c_str(), (dir / "second").c_str()), 0);
  listener.reset();
  EXPECT_FALSE(base::probe_socket(dir / "second").in_use);
}

TEST(SocketProbeTest, APathOfMoreThan107BytesIsReached) {
  const ScratchDir dir;
  const std::string deep = dir / std::string(120, 'd');
  ASSERT_EQ(::mkdir(deep.c_str(), 0700), 0);
  const base::UnixListener listener(dir / "s", base::SocketClaim::directory_is_ours);
  ASSERT_EQ(::link((dir / "s").c_str(), (deep + "/s").c_str()), 0);
  EXPECT_TRUE(base::probe_socket(deep + "/s").in_use);
}

TEST(SocketProbeTest, AFullBacklogDoesNotBlock) {
  const ScratchDir dir;
  const base::UnixListener listener(dir / "s", base::SocketClaim::directory_is_ours);
  ASSERT_EQ(::listen(listener.fd(), 0), 0);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(base::probe_socket(dir / "s").in_use);
  }
}

}  // namespace
