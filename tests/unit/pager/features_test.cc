// SPDX-License-Identifier: Apache-2.0
// Tests kernel features, and how a VMM is identified with and without them.
#include "pager/kernel/features.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/error.h"
#include "base/process.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "pager/faults/vmm.h"
#include "tests/unit/child_process.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

using namespace std::chrono_literals;

constexpr std::array kAll{Feature::poison, Feature::pagemap_scan, Feature::peerpidfd,
                          Feature::nowait_read, Feature::oom_score};

// Restores the features of the process.
class FeaturesTest : public testing::Test {
 protected:
  void TearDown() override { features() = Features(); }
};

TEST_F(FeaturesTest, AFeatureThatWasNotProbedIsTried) {
  for (const Feature feature : kAll) {
    EXPECT_EQ(Features().support(feature), Support::unknown);
    EXPECT_TRUE(Features().has(feature));
  }
}

TEST_F(FeaturesTest, EachFeatureCanBeDisabled) {
  Features all;
  all.probe();
  for (const Feature feature : kAll) {
    Features one;
    one.probe(text_of(feature).name);
    EXPECT_FALSE(one.has(feature));
    EXPECT_EQ(one.support(feature), Support::off);
    for (const Feature other : kAll) {
      if (other != feature) {
        EXPECT_EQ(one.support(other), all.support(other));
      }
    }
  }
  Features none;
  none.probe("poison,pagemap-scan,peerpidfd,nowait-read,oom-score");
  EXPECT_TRUE(std::ranges::none_of(kAll, [&](Feature feature) { return none.has(feature); }));
}

TEST_F(FeaturesTest, AnUnknownNameIsRefused) {
  EXPECT_THROW(Features().probe("posion"), base::UsageError);
  EXPECT_THROW(Features().probe("poison,,peerpidfd"), base::UsageError);
}

// A VMM is identified with and without SO_PEERPIDFD, with the same results.
class PeerTest : public FeaturesTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override { features().probe(GetParam()); }

  ScratchDir dir_;
};

TEST_P(PeerTest, APeerIsIdentifiedAndItsEndIsSeen) {
  const base::UnixListener listener(dir_ / "s", base::SocketClaim::directory_is_ours);
  ChildProcess peer([&](const std::function<void()>& ready) {
    const auto socket = base::connect_unix(dir_ / "s", base::Deadline::after(60s));
    ready();
    for (;;) {
      ::pause();
    }
  });
  ASSERT_TRUE(peer.wait_ready());
  const std::optional<base::Fd> socket = listener.accept();
  ASSERT_TRUE(socket);
  const Vmm vmm = Vmm::of_peer(socket->get());
  EXPECT_EQ(vmm.pid(), peer.pid());
  EXPECT_EQ(vmm.start_time(), base::process_start_time(peer.pid()));
  ASSERT_GE(vmm.pidfd(), 0);
  EXPECT_FALSE(base::wait_for(vmm.pidfd(), POLLIN, base::Deadline::after(0s)));
  EXPECT_TRUE(vmm.kill());
  EXPECT_TRUE(base::wait_for(vmm.pidfd(), POLLIN, base::Deadline::after(60s)));
}

TEST_P(PeerTest, APeerThatHasEndedIsNotIdentified) {
  const base::UnixListener listener(dir_ / "s", base::SocketClaim::directory_is_ours);
  {
    ChildProcess peer([&](const std::function<void()>& ready) {
      const auto socket = base::connect_unix(dir_ / "s", base::Deadline::after(60s));
      ready();
    });
    ASSERT_TRUE(peer.wait_ready());
    peer.wait();
  }
  const std::optional<base::Fd> socket = listener.accept();
  ASSERT_TRUE(socket);
  const Vmm vmm = Vmm::of_peer(socket->get());
  // Either no descriptor, or one of the process that has ended; never of another process.
  EXPECT_TRUE(vmm.pidfd() < 0 || base::wait_for(vmm.pidfd(), POLLIN, base::Deadline::after(0s)));
  EXPECT_EQ(vmm.start_time(), 0U);
  EXPECT_FALSE(vmm.kill());
}

INSTANTIATE_TEST_SUITE_P(WithAndWithout, PeerTest, testing::Values("", "peerpidfd"));

}  // namespace
}  // namespace pager
