// SPDX-License-Identifier: Apache-2.0
// Tests the detection of the end of a VMM that did not connect itself.
#include "pager/faults/vmm_watch.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/unix_socket.h"
#include "pager/faults/pagemap.h"
#include "tests/unit/pager/fake_vmm.h"
#include "tests/unit/pager/stranger.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

using namespace std::chrono_literals;

class VmmWatchTest : public UserfaultfdTest {
 protected:
  ScratchDir dir_;
};

TEST_F(VmmWatchTest, DetectsAPeerThatDoesNotHaveTheMemory) {
  const TestGuest guest(16);
  const std::vector<hot::Region> regions{guest.region()};
  const Stranger stranger(dir_ / "s", guest.region());
  EXPECT_EQ(maps_regions(stranger.as_vmm(), regions), false);
  const base::UnixListener listener(dir_ / "t", base::SocketClaim::directory_is_ours);
  const auto connected = base::connect_unix(dir_ / "t", base::Deadline::after(60s));
  ASSERT_TRUE(connected);
  const std::optional<base::Fd> socket = listener.accept();
  ASSERT_TRUE(socket);
  EXPECT_EQ(maps_regions(Vmm::of_peer(socket->get()), regions), true);
  EXPECT_EQ(maps_regions(Vmm(), regions), std::nullopt);
}

// Its launcher has connected for it, still lives and keeps the socket.
TEST_F(VmmWatchTest, SeesTheEndOfAVmmWhoseLauncherLives) {
  const base::UnixListener listener(dir_ / "vmm", base::SocketClaim::directory_is_ours);
  constexpr uint64_t kPages = 16;
  const ReservedAddresses place(kPages * hot::kSmallPage);
  FakeVmm vmm(
      dir_ / "vmm", kPages,
      [](const TestGuest&, const base::Fd&, const FakeVmm::Ready& ready) {
        ready();
        ::pause();
      },
      place.at());
  ASSERT_TRUE(vmm.wait_ready());
  const std::optional<base::Fd> socket = listener.accept();
  ASSERT_TRUE(socket);
  HandshakeReader reader;
  std::optional<HandshakeReader::Result> hello;
  ASSERT_TRUE(wait_for_true([&] { return (hello = reader.read_from(socket->get())).has_value(); }));
  ASSERT_EQ(hello->regions.front().base, reinterpret_cast<uint64_t>(place.at()));
  const Stranger launcher(dir_ / "s", hello->regions.front());
  const Vmm peer = launcher.as_vmm();
  VmmWatch watch(hello->uffd.get(), launcher.socket(), peer, -1, hello->regions);
  EXPECT_TRUE(watch.wait(0)) << "the VMM lives";
  vmm.kill();
  EXPECT_TRUE(wait_for_true([&] { return !watch.wait(std::nullopt); }));
}

}  // namespace
}  // namespace pager
