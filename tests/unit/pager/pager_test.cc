// SPDX-License-Identifier: Apache-2.0
// Tests sessions of a page server, from the connection of a VMM to its end.
#include "pager/serve/pager.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include <array>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "store/vmm_record.h"
#include "tests/unit/pager/pager_fixture.h"

namespace pager {
namespace {

using namespace std::chrono_literals;

void wait_forever() {
  for (;;) {
    ::pause();
  }
}

TEST_F(PagerTest, ServesAVmmAndFreesEverythingAtItsEnd) {
  Pager& pager = start();
  const size_t before = open_descriptors();
  const size_t threads_before = threads();
  pager.open(endpoint("vm"));
  EXPECT_EQ(state_of("vm"), "waiting");
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                require(all_right(guest));
                ready();
                wait_forever();
              });
  ASSERT_TRUE(vmm.wait_ready());
  EXPECT_EQ(state_of("vm"), "serving");
  EXPECT_EQ(pager.session("vm")->vmm_pid, vmm.pid());
  EXPECT_EQ(record("vm") + "\n", store::vmm_record_text(base::identify_process(vmm.pid())));
  EXPECT_FALSE(exists("vm.sock")) << "no other VMM can connect";

  vmm.kill();
  ASSERT_TRUE(wait_for_state("vm", "none"));
  EXPECT_FALSE(exists("vm.vmm"));
  EXPECT_TRUE(wait_for_true([&] { return threads() <= threads_before; }));
  // One more is the test's pipe to the child.
  EXPECT_TRUE(wait_for_true([&] { return open_descriptors() <= before + 1; }));
  EXPECT_GT(pager.totals()[Count::faults], 0U);
}

TEST_F(PagerTest, ClosesTheDescriptorsOfAnEndedVmmAtOnce) {
  Pager& pager = make({});
  pager.open(endpoint("vm"));
  FakeVmm vmm(dir_ / "vm.sock", kPages, verify_within_a_minute);
  EXPECT_TRUE(vmm.wait_ready());
  const size_t before = open_descriptors();
  EXPECT_TRUE(pager.close("vm")) << "shutting down accepts connected VMMs";
  EXPECT_TRUE(vmm.ended_well());
  // An eventfd has the number that a listening socket had.
  EXPECT_TRUE(wait_for_true([&] { return open_descriptors() <= before; }));
  EXPECT_EQ(state_of("vm"), "closing");
  run();
  EXPECT_TRUE(wait_for_state("vm", "none"));
}

// poll(2) returns POLLERR for a userfaultfd in blocking mode.
TEST_F(PagerTest, ServesAUserfaultfdInBlockingMode) {
  start().open(endpoint("vm"));
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                require(guest.word(0) == page_word(0));
                require(::fcntl(guest.uffd(), F_SETFL, O_RDWR) == 0);
                require(all_right(guest));
                ready();
              });
  EXPECT_TRUE(vmm.wait_ready());
  EXPECT_TRUE(vmm.ended_well());
}

// A launcher that connects for the VMM and ends. Then only the memory shows whether the VMM lives.
TEST_F(PagerTest, ServesAVmmOfALauncherUntilTheVmmEnds) {
  start().open(endpoint("vm"));
  const Gate go;
  ChildProcess launcher([&](const std::function<void()>& ready) {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
    require(socket.has_value());
    if (::fork() != 0) {
      return;  // maybe before the VMM's first fault
    }
    ::alarm(60);
    const TestGuest guest(kPages);
    const std::array fds{guest.uffd()};
    base::send_with_fds(socket->get(), compose_handshake(std::vector{guest.region()}), fds);
    go.wait();
    const bool right = all_right(guest);
    if (right) {
      ready();
    }
    ::_exit(0);
  });
  launcher.wait();
  ASSERT_TRUE(wait_for_state("vm", "serving"));
  go.open(1);
  EXPECT_TRUE(launcher.wait_ready()) << "the VMM was not served after its launcher ended";
  EXPECT_TRUE(wait_for_state("vm", "none"));
}

// Firecracker before 1.12 does this.
TEST_F(PagerTest, ServesAVmmThatClosesItsSocketAtOnce) {
  start().open(endpoint("vm"));
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [](const TestGuest& guest, base::Fd socket, const FakeVmm::Ready& ready) {
                socket.reset();
                require(all_right(guest));
                ready();
              });
  EXPECT_TRUE(vmm.wait_ready());
  EXPECT_TRUE(vmm.ended_well());
  EXPECT_TRUE(wait_for_state("vm", "none"));
}

TEST_F(PagerTest, AClosedSessionStillServesItsGuest) {
  Pager& pager = start();
  pager.open(endpoint("vm"));
  const Gate go;
  FakeVmm vmm(dir_ / "vm.sock", kPages, verify_after(go));
  ASSERT_TRUE(vmm.wait_ready());
  EXPECT_TRUE(pager.close("vm"));
  EXPECT_EQ(state_of("vm"), "closing");
  go.open(1);
  EXPECT_TRUE(vmm.ended_well());
  EXPECT_TRUE(wait_for_state("vm", "none"));
  EXPECT_FALSE(pager.close("vm"));
}

TEST_F(PagerTest, AReplacedSessionStillServesItsGuest) {
  Pager& pager = start();
  pager.open(endpoint("vm"));
  const Gate go;
  const auto work = verify_after(go);
  FakeVmm first(dir_ / "vm.sock", kPages, work);
  ASSERT_TRUE(first.wait_ready());
  EXPECT_THROW(pager.open(endpoint("vm")), Occupied);
  pager.open(endpoint("vm"), Pager::Existing::replace);
  FakeVmm second(dir_ / "vm.sock", kPages, work);
  ASSERT_TRUE(second.wait_ready());
  EXPECT_EQ(pager.sessions().size(), 2U);
  EXPECT_EQ(pager.session("vm")->vmm_pid, second.pid());
  EXPECT_EQ(record("vm").substr(0, record("vm").find(' ')), std::to_string(second.pid()));
  go.open(2);
  EXPECT_TRUE(first.ended_well());
  EXPECT_TRUE(second.ended_well());
  EXPECT_TRUE(wait_for_true([&] { return pager.sessions().empty(); }));
}

TEST_F(PagerTest, ASessionWhoseVmmHasEndedDoesNotOccupyItsId) {
  Pager& pager = start();
  for (int round = 0; round < 30; ++round) {
    ASSERT_EQ(pager.open(endpoint("vm")), Pager::Opened::made) << round;
    FakeVmm vmm(dir_ / "vm.sock", kPages, verify_all);
    ASSERT_TRUE(vmm.wait_ready());
    ASSERT_TRUE(vmm.ended_well());
  }
  EXPECT_TRUE(wait_for_true([&] { return pager.sessions().empty(); }));
}

TEST_F(PagerTest, AReplacedSessionDoesNotTakeAnIdOfAClient) {
  Pager& pager = start();
  pager.open(endpoint("vm"));
  const Gate go;
  FakeVmm vmm(dir_ / "vm.sock", kPages, verify_after(go));
  ASSERT_TRUE(vmm.wait_ready());
  for (int i = 0; i < 8; ++i) {
    pager.open(endpoint("vm.old-" + std::to_string(i)));
  }
  pager.open(endpoint("vm"), Pager::Existing::replace);
  std::set<std::string> ids;
  for (const SessionInfo& info : pager.sessions()) {
    EXPECT_TRUE(ids.insert(info.id).second) << info.id << " is listed twice";
    EXPECT_EQ(pager.session(info.id)->state, std::string(info.state));
  }
  EXPECT_EQ(ids.size(), 10U);
  go.open(1);
  EXPECT_TRUE(vmm.ended_well());
}

// Descriptor numbers are reused at once: a thread that continued with a closed one would serve the
// guest of another session.
TEST_F(PagerTest, ConcurrentSessionsNeverMixTheirDescriptors) {
  Pager& pager = start();
  std::vector<std::thread> clients;
  std::atomic<int> wrong{0};
  clients.reserve(4);
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      for (int round = 0; round < 40; ++round) {
        const std::string id = "c" + std::to_string(client);
        pager.open(endpoint(id), Pager::Existing::replace);
        FakeVmm vmm(dir_ / (id + ".sock"), kPages, verify_all);
        wrong += vmm.wait_ready() && vmm.ended_well() ? 0 : 1;
      }
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(wait_for_true([&] { return pager.sessions().empty(); }));
}

TEST_F(PagerTest, ATraceContainsEveryPageInFaultOrder) {
  Endpoint traced = endpoint("vm");
  traced.serving.trace_path = dir_ / "trace";
  start().open(std::move(traced));
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                for (const uint64_t page : {9U, 0U, 1U, 2U, 3U}) {
                  require(guest.word(page) == page_word(page));
                }
                ready();
              });
  EXPECT_TRUE(vmm.wait_ready());
  EXPECT_TRUE(wait_for_state("vm", "none"));
  std::ifstream file(dir_ / "trace");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(text,
            "# snapfork-trace 2 page_size=4096 memory_bytes=262144 regions=0+262144\n"
            "9\n0\n1\n2\n3\n");
}

TEST_F(PagerTest, ACompletionSkipsUnmappedPages) {
  Pager& pager = start();
  pager.open(endpoint("vm"));
  const Gate go;
  FakeVmm vmm(
      dir_ / "vm.sock", kPages,
      [&](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
        require(::munmap(reinterpret_cast<void*>(guest.address(8)), 8 * hot::kSmallPage) == 0);
        require(guest.word(0) == page_word(0));
        ready();
        go.wait();
        for (uint64_t page = 0; page < kPages; ++page) {
          require((page >= 8 && page < 16) || guest.word(page) == page_word(page));
        }
      });
  ASSERT_TRUE(vmm.wait_ready());
  const Pager::CompletionOrder order = pager.complete("vm", 0, /*wait=*/true);
  ASSERT_EQ(order.ordered, Pager::Ordered::yes);
  EXPECT_TRUE(order.completion->wait(10s));
  EXPECT_EQ(order.completion->state(), Completion::State::done) << order.completion->why();
  EXPECT_TRUE(wait_for_state("vm", "none")) << "the session has not ended";
  go.open(1);
  EXPECT_TRUE(vmm.ended_well());
  EXPECT_EQ(pager.totals()[Count::pages_gone], 8U);
}

TEST_F(PagerTest, ExitWhenIdleEndsWithTheLastSession) {
  Pager& pager = start({.end = Pager::End::when_idle});
  pager.open(endpoint("a"));
  pager.open(endpoint("b"));
  pager.close("a");
  FakeVmm vmm(dir_ / "b.sock", kPages, verify_all);
  EXPECT_TRUE(vmm.wait_ready());
  thread_.join();
  EXPECT_THROW(pager.open(endpoint("c")), Draining);
}

TEST_F(PagerTest, ExitWhenIdleEndsAServerWithoutRequests) {
  start({.end = Pager::End::when_idle, .idle_start = std::chrono::milliseconds(20)});
  thread_.join();
  EXPECT_TRUE(pager_->draining());
}

TEST_F(PagerTest, ADrainingServerEndsAfterItsLastGuest) {
  Pager& pager = start();
  pager.open(endpoint("vm"));
  const Gate go;
  FakeVmm vmm(dir_ / "vm.sock", kPages, verify_after(go));
  ASSERT_TRUE(vmm.wait_ready());
  ASSERT_TRUE(wait_for_state("vm", "serving"));
  pager.drain();
  EXPECT_THROW(pager.open(endpoint("other")), Draining);
  go.open(1);
  EXPECT_TRUE(vmm.ended_well());
  thread_.join();
}

}  // namespace
}  // namespace pager
