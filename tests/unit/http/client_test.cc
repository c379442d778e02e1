// SPDX-License-Identifier: Apache-2.0
// Tests which servers the client of the control socket trusts.
#include "http/client.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/unix_listener.h"
#include "tests/unit/child_process.h"
#include "tests/unit/scratch_dir.h"

namespace http {
namespace {

base::Deadline soon() {
  return base::Deadline::after(std::chrono::minutes(1));
}

TEST(ClientTest, AServerOfAnotherUserIsNotTrusted) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const ScratchDir dir;
  ASSERT_EQ(::chmod(dir.path().c_str(), 0777), 0);
  const ChildProcess stranger([&](const std::function<void()>& ready) {
    if (::setuid(12345) != 0) {
      return;
    }
    const base::UnixListener listener(dir / "s", base::SocketClaim::directory_is_ours);
    ready();
    ::pause();
  });
  ASSERT_TRUE(stranger.wait_ready());
  EXPECT_THROW(Client::connect(dir / "s", soon()), base::Refused);
}

TEST(ClientTest, AServerOfThisUserIsTrusted) {
  const ScratchDir dir;
  const base::UnixListener listener(dir / "s", base::SocketClaim::directory_is_ours);
  EXPECT_TRUE(Client::connect(dir / "s", soon()));
}

}  // namespace
}  // namespace http
