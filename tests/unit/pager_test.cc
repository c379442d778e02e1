#include "pager/pager.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/process.h"
#include "fake_vmm.h"
#include "scratch_dir.h"
#include "test_guest.h"

namespace pager {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kPages = 64;

size_t entries_in(const char* dir) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(dir), {}));
}
size_t open_descriptors() {
  return entries_in("/proc/self/fd");
}
size_t threads() {
  return entries_in("/proc/self/task");
}

// Touches every page and says whether each was right.
bool all_right(const TestGuest& guest) {
  for (uint64_t page = 0; page < kPages; ++page) {
    if (guest.word(page) != page_word(page)) {
      return false;
    }
  }
  return true;
}
void require(bool condition) {
  if (!condition) {
    throw std::runtime_error("not so");
  }
}
void wait_for_ever() {
  for (;;) {
    ::pause();
  }
}

class PagerTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      static_cast<void>(uffd_create());
    } catch (const base::Unsupported& error) {
      GTEST_SKIP() << error.what();
    }
    write_memory_file(dir_ / "memory", kPages);
    image_ = Image::open(dir_ / "memory");
  }
  void TearDown() override {
    stop();
    pager_.reset();
  }

  Pager& start(Pager::End end = Pager::End::when_told, std::chrono::milliseconds timeout = 5s) {
    pager_.emplace(
        Pager::Settings{.end = end, .handshake_timeout = timeout, .record_dir = dir_.path()});
    thread_ = std::thread([this] { pager_->run(); });
    return *pager_;
  }
  // Ends run(); there must be no session any more.
  void stop() {
    if (thread_.joinable()) {
      for (const SessionInfo& info : pager_->sessions()) {
        pager_->close(info.id);
      }
      pager_->drain();
      thread_.join();
    }
  }
  Place place(const std::string& id) const {
    Place place;
    place.id = id;
    place.socket_path = dir_ / (id + ".sock");
    place.image = image_;
    return place;
  }
  std::string state_of(const std::string& id) const {
    const std::optional<SessionInfo> info = pager_->session(id);
    return info ? info->state : "none";
  }
  bool wait_for_state(const std::string& id, const std::string& state) const {
    return wait_for_true([&] { return state_of(id) == state; });
  }
  std::string record(const std::string& id) const {
    std::ifstream file(dir_ / (id + ".vmm"));
    std::string line;
    std::getline(file, line);
    return line;
  }
  bool exists(const std::string& name) const { return std::filesystem::exists(dir_ / name); }

  ScratchDir dir_;
  std::shared_ptr<const Image> image_;
  std::optional<Pager> pager_;
  std::thread thread_;
};

TEST_F(PagerTest, AVmmIsServedAndAllOfItFreedWhenItEnds) {
  Pager& pager = start();
  const size_t before = open_descriptors();
  const size_t threads_before = threads();
  pager.open(place("vm"));
  EXPECT_EQ(state_of("vm"), "waiting");
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                require(all_right(guest));
                ready();
                wait_for_ever();
              });
  ASSERT_TRUE(vmm.wait_ready());
  EXPECT_EQ(state_of("vm"), "serving");
  EXPECT_EQ(pager.session("vm")->vmm_pid, vmm.pid());
  EXPECT_EQ(record("vm"),
            std::to_string(vmm.pid()) + " " + std::to_string(*base::process_start_time(vmm.pid())));
  EXPECT_FALSE(exists("vm.sock")) << "nobody else may come";

  const auto killed_at = std::chrono::steady_clock::now();
  vmm.kill();
  ASSERT_TRUE(wait_for_state("vm", "none"));
  EXPECT_LT(std::chrono::steady_clock::now() - killed_at, 1s);
  EXPECT_FALSE(exists("vm.vmm"));
  EXPECT_TRUE(wait_for_true([&] { return threads() == threads_before; }));
  // One more is the test's own pipe to the child.
  EXPECT_TRUE(wait_for_true([&] { return open_descriptors() <= before + 1; }));
  EXPECT_GT(pager.totals()[Count::faults], 0U);
}

// poll(2) answers POLLERR for such a one.
TEST_F(PagerTest, AUserfaultfdInBlockingModeIsServed) {
  start().open(place("vm"));
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

// A launcher that connects for the VMM and ends. Then only the memory itself tells whether it
// lives.
TEST_F(PagerTest, AVmmThatSomebodyElseConnectedForIsServedUntilItsOwnEnd) {
  start().open(place("vm"));
  const base::Fd go(::eventfd(0, 0));
  ChildProcess launcher([&](const std::function<void()>& ready) {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(5s));
    require(socket.has_value());
    if (::fork() != 0) {
      return;  // before the VMM's first fault, perhaps
    }
    ::alarm(60);
    const TestGuest guest(kPages);
    const std::array fds{guest.uffd()};
    base::send_with_fds(socket->get(), compose_handshake(std::vector{guest.region()}), fds);
    uint64_t value = 0;
    const bool right = ::read(go.get(), &value, sizeof value) == sizeof value && all_right(guest);
    if (right) {
      ready();
    }
    ::_exit(0);
  });
  launcher.wait();
  ASSERT_TRUE(wait_for_state("vm", "serving"));
  const uint64_t one = 1;
  ASSERT_EQ(::write(go.get(), &one, sizeof one), 8);
  EXPECT_TRUE(launcher.wait_ready()) << "it was not served after its launcher's end";
  EXPECT_TRUE(wait_for_state("vm", "none"));
}

// Firecracker before 1.12.
TEST_F(PagerTest, AVmmThatClosesItsSocketAtOnceIsServedOn) {
  start().open(place("vm"));
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

TEST_F(PagerTest, ClosingASessionLeavesItsGuestServed) {
  Pager& pager = start();
  pager.open(place("vm"));
  const base::Fd go(::eventfd(0, 0));
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [&](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                require(guest.word(3) == page_word(3));
                ready();
                uint64_t value = 0;
                require(::read(go.get(), &value, sizeof value) == sizeof value);
                require(all_right(guest));
              });
  ASSERT_TRUE(vmm.wait_ready());
  EXPECT_TRUE(pager.close("vm"));
  EXPECT_EQ(state_of("vm"), "closing");
  const uint64_t one = 1;
  ASSERT_EQ(::write(go.get(), &one, sizeof one), 8);
  EXPECT_TRUE(vmm.ended_well());
  EXPECT_TRUE(wait_for_state("vm", "none"));
  EXPECT_FALSE(pager.close("vm"));
}

// A model check found it: whoever closes may be faster than whoever accepts.
TEST_F(PagerTest, AGuestThatHasSaidHelloIsServedThoughItsSessionIsClosedBeforeAnybodyLooked) {
  for (const bool replaced : {false, true}) {
    pager_.emplace(Pager::Settings{
        .end = Pager::End::when_told, .handshake_timeout = 5s, .record_dir = dir_.path()});
    pager_->open(place("vm"));
    FakeVmm vmm(dir_ / "vm.sock", kPages,
                [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                  ::alarm(10);  // where it hangs, it ends
                  ready();
                  require(all_right(guest));
                });
    EXPECT_TRUE(vmm.wait_ready());
    if (replaced) {
      pager_->open(place("vm"));
    } else {
      EXPECT_TRUE(pager_->close("vm"));
    }
    thread_ = std::thread([this] { pager_->run(); });
    EXPECT_TRUE(vmm.ended_well());
    EXPECT_TRUE(wait_for_state("vm", replaced ? "waiting" : "none"));
    TearDown();
  }
}

TEST_F(PagerTest, AGuestThatHasSaidHelloIsServedThoughTheServerIsToldToEndBeforeAnybodyLooked) {
  for (const bool many : {false, true}) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const base::Fd signals(ends[0]);
    const base::Fd sender(ends[1]);
    pager_.emplace(Pager::Settings{.end = Pager::End::when_told,
                                   .handshake_timeout = 5s,
                                   .record_dir = dir_.path(),
                                   .signals = signals.get()});
    Place opened = place("vm");
    opened.many = many;
    pager_->open(std::move(opened));
    // The signal is there first, so that it is what is looked at first.
    const struct signalfd_siginfo info {};
    ASSERT_EQ(::write(sender.get(), &info, sizeof info), static_cast<ssize_t>(sizeof info));
    FakeVmm vmm(dir_ / "vm.sock", kPages,
                [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                  ::alarm(10);  // where it hangs, it ends
                  ready();
                  require(all_right(guest));
                });
    EXPECT_TRUE(vmm.wait_ready());
    thread_ = std::thread([this] { pager_->run(); });
    EXPECT_TRUE(vmm.ended_well());
    TearDown();
  }
}

TEST_F(PagerTest, AnIdThatIsUsedAgainLeavesTheOldGuestServed) {
  Pager& pager = start();
  pager.open(place("vm"));
  const base::Fd go(::eventfd(0, EFD_SEMAPHORE));
  const auto work = [&](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
    require(guest.word(0) == page_word(0));
    ready();
    uint64_t value = 0;
    require(::read(go.get(), &value, sizeof value) == sizeof value);
    require(all_right(guest));
  };
  FakeVmm first(dir_ / "vm.sock", kPages, work);
  ASSERT_TRUE(first.wait_ready());
  pager.open(place("vm"));
  FakeVmm second(dir_ / "vm.sock", kPages, work);
  ASSERT_TRUE(second.wait_ready());
  EXPECT_EQ(pager.sessions().size(), 2U);
  EXPECT_EQ(pager.session("vm")->vmm_pid, second.pid());
  EXPECT_EQ(record("vm").substr(0, record("vm").find(' ')), std::to_string(second.pid()));
  const uint64_t two = 2;
  ASSERT_EQ(::write(go.get(), &two, sizeof two), 8);
  EXPECT_TRUE(first.ended_well());
  EXPECT_TRUE(second.ended_well());
  EXPECT_TRUE(wait_for_true([&] { return pager.sessions().empty(); }));
}

TEST_F(PagerTest, AClientThatSaysNothingIsDropped) {
  start(Pager::End::when_told, 20ms).open(place("vm"));
  std::optional<base::Fd> silent = base::connect_unix(dir_ / "vm.sock", base::Deadline::after(5s));
  ASSERT_TRUE(silent);
  EXPECT_TRUE(base::wait_for(silent->get(), POLLIN, base::Deadline::after(5s)));
  EXPECT_EQ(state_of("vm"), "waiting") << "the place stays open for its VMM";
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                require(all_right(guest));
                ready();
              });
  EXPECT_TRUE(vmm.wait_ready());
}

TEST_F(PagerTest, ABadHandshakeCostsItsClientTheConnectionAndNobodyElse) {
  start().open(place("vm"));
  const TestGuest guest(kPages);
  Region beyond = guest.region();
  beyond.offset = kSmallPage;
  const std::array fds{guest.uffd()};
  for (const std::string& body : {std::string("nonsense"), std::string("[]"), std::string("[{}]"),
                                  compose_handshake(std::vector{beyond}),
                                  compose_handshake(std::vector{guest.region(), guest.region()})}) {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(5s));
    ASSERT_TRUE(socket) << body;
    base::send_with_fds(socket->get(), body, fds);
    EXPECT_TRUE(base::wait_for(socket->get(), POLLIN, base::Deadline::after(5s))) << body;
    char byte = 0;
    EXPECT_LE(::recv(socket->get(), &byte, 1, 0), 0) << body;
  }
  EXPECT_EQ(state_of("vm"), "waiting");
  EXPECT_FALSE(exists("vm.vmm"));
}

// Firecracker before 1.12 sends no page_size, and one that holds bytes as page_size_kib.
TEST_F(PagerTest, AHandshakeWithoutAPageSizeIsServed) {
  start().open(place("vm"));
  ChildProcess vmm([&](const std::function<void()>& ready) {
    const TestGuest guest(kPages);
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(5s));
    const std::array fds{guest.uffd()};
    base::send_with_fds(socket.value().get(),
                        R"([{"base_host_virt_addr":)" + std::to_string(guest.base()) +
                            R"(,"size":262144,"offset":0,"page_size_kib":4096}])",
                        fds);
    require(all_right(guest));
    ready();
  });
  EXPECT_TRUE(vmm.wait_ready());
}

TEST_F(PagerTest, RegionsThatOverflowAreRefused) {
  start().open(place("vm"));
  const TestGuest guest(kPages);
  for (const char* region :
       {R"({"base_host_virt_addr":18446744073709547520,"size":8192,"offset":0})",
        R"({"base_host_virt_addr":4096,"size":8192,"offset":18446744073709547520})",
        R"({"base_host_virt_addr":4096,"size":18446744073709547520,"offset":4096})"}) {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(5s));
    const std::array fds{guest.uffd()};
    base::send_with_fds(socket.value().get(), std::string("[") + region + "]", fds);
    EXPECT_TRUE(base::wait_for(socket->get(), POLLIN, base::Deadline::after(5s))) << region;
  }
  EXPECT_EQ(state_of("vm"), "waiting");
}

TEST_F(PagerTest, WithoutDescriptorsLeftWhatIsThereIsServedOnAndNothingElse) {
  Pager& pager = start();
  pager.open(place("vm"));
  pager.open(place("late"));
  const base::Fd go(::eventfd(0, 0));
  const auto work = [&](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
    require(guest.word(0) == page_word(0));
    ready();
    uint64_t value = 0;
    require(::read(go.get(), &value, sizeof value) == sizeof value);
    require(all_right(guest));
  };
  FakeVmm vmm(dir_ / "vm.sock", kPages, work);
  ASSERT_TRUE(vmm.wait_ready());
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  struct rlimit limit = before;
  limit.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  size_t opened = 0;
  EXPECT_THROW(
      for (; opened < 64; ++opened) { pager.open(place("s" + std::to_string(opened))); },
      std::system_error);
  EXPECT_THROW(pager.open(place("late")), std::system_error);
  EXPECT_EQ(state_of("late"), "waiting") << "a session that was there is lost";
  {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "late.sock", base::Deadline::after(5s));
    ASSERT_TRUE(socket);
    EXPECT_TRUE(base::wait_for(socket->get(), POLLIN, base::Deadline::after(5s)))
        << "a VMM waits for a server that cannot take it";
  }
  const uint64_t one = 1;
  ASSERT_EQ(::write(go.get(), &one, sizeof one), 8);
  EXPECT_TRUE(vmm.ended_well());
  EXPECT_TRUE(wait_for_state("vm", "none"));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(state_of("late"), "waiting");
}

TEST_F(PagerTest, ManySessionsThatNobodyConnectsToCostNoThreads) {
  Pager& pager = start();
  const size_t threads_before = threads();
  const size_t before = open_descriptors();
  constexpr size_t kSessions = 500;
  for (size_t i = 0; i < kSessions; ++i) {
    pager.open(place("s" + std::to_string(i)));
  }
  EXPECT_EQ(pager.active(), kSessions);
  EXPECT_EQ(threads(), threads_before);
  EXPECT_EQ(open_descriptors(), before + kSessions);
  for (size_t i = 0; i < kSessions; ++i) {
    EXPECT_TRUE(pager.close("s" + std::to_string(i)));
  }
  EXPECT_EQ(open_descriptors(), before);
}

// Numbers of descriptors are given out again at once: a thread that went on with a closed one would
// serve another session's guest.
TEST_F(PagerTest, SessionsThatComeAndGoNeverMixTheirDescriptors) {
  Pager& pager = start();
  std::vector<std::thread> clients;
  std::atomic<int> wrong{0};
  clients.reserve(4);
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      for (int round = 0; round < 40; ++round) {
        const std::string id = "c" + std::to_string(client);
        pager.open(place(id));
        FakeVmm vmm(dir_ / (id + ".sock"), kPages,
                    [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                      require(all_right(guest));
                      ready();
                    });
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

TEST_F(PagerTest, ATraceHoldsEveryPageInTheOrderOfTheFaults) {
  Place traced = place("vm");
  traced.trace_path = dir_ / "trace";
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
            "# snapfork-trace 1 page_size=4096 memory_bytes=262144 regions=0+262144\n"
            "9\n0\n1\n2\n3\n");
}

TEST_F(PagerTest, AnIdleServerEndsWithItsLastSession) {
  Pager& pager = start(Pager::End::when_idle);
  pager.open(place("a"));
  pager.open(place("b"));
  pager.close("a");
  FakeVmm vmm(dir_ / "b.sock", kPages,
              [](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                require(all_right(guest));
                ready();
              });
  EXPECT_TRUE(vmm.wait_ready());
  thread_.join();
  EXPECT_THROW(pager.open(place("c")), Draining);
}

TEST_F(PagerTest, ADrainingServerServesOnAndEndsWithItsLastGuest) {
  Pager& pager = start();
  pager.open(place("vm"));
  const base::Fd go(::eventfd(0, 0));
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [&](const TestGuest& guest, const base::Fd&, const FakeVmm::Ready& ready) {
                ready();
                uint64_t value = 0;
                require(::read(go.get(), &value, sizeof value) == sizeof value);
                require(all_right(guest));
              });
  ASSERT_TRUE(vmm.wait_ready());
  ASSERT_TRUE(wait_for_state("vm", "serving"));
  pager.drain();
  EXPECT_THROW(pager.open(place("other")), Draining);
  const uint64_t one = 1;
  ASSERT_EQ(::write(go.get(), &one, sizeof one), 8);
  EXPECT_TRUE(vmm.ended_well());
  thread_.join();
}

TEST_F(PagerTest, ASocketIsGivenToThePeersUser) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  Place given = place("vm");
  given.peer_uid = 12345;
  start().open(std::move(given));
  struct stat st {};
  ASSERT_EQ(::stat((dir_ / "vm.sock").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 12345U);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  // A third user, to whom the kernel says no.
  ChildProcess other([&](const std::function<void()>& ready) {
    require(::setuid(12346) == 0);
    try {
      static_cast<void>(base::connect_unix(dir_ / "vm.sock", base::Deadline::after(5s)));
    } catch (const std::system_error& error) {
      require(error.code().value() == EACCES);
      ready();
    }
  });
  EXPECT_TRUE(other.wait_ready());
  // The same, who got at the socket somehow.
  ASSERT_EQ(::chmod((dir_ / "vm.sock").c_str(), 0666), 0);
  ChildProcess stranger([&](const std::function<void()>& ready) {
    require(::setuid(12346) == 0);
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(5s));
    require(socket && base::wait_for(socket->get(), POLLIN, base::Deadline::after(2s)));
    char byte = 0;
    require(::recv(socket->get(), &byte, 1, 0) == 0);
    ready();
  });
  EXPECT_TRUE(stranger.wait_ready());
  EXPECT_EQ(state_of("vm"), "waiting");
  // The one that it is for.
  ASSERT_EQ(::chmod((dir_ / "vm.sock").c_str(), 0600), 0);
  ChildProcess jailed([&](const std::function<void()>& ready) {
    const TestGuest guest(kPages);
    require(::setuid(12345) == 0);
    const base::Fd socket = greet(dir_ / "vm.sock", guest);
    require(all_right(guest));
    ready();
  });
  EXPECT_TRUE(jailed.wait_ready());
}

}  // namespace
}  // namespace pager
