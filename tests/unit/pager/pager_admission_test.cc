// SPDX-License-Identifier: Apache-2.0
// Tests which VMMs may connect, with which handshakes, and how others are refused.
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <optional>

#include "tests/unit/pager/pager_fixture.h"

namespace pager {
namespace {

using namespace std::chrono_literals;

using PagerAdmissionTest = PagerTest;

TEST_F(PagerAdmissionTest, ServesAConnectedGuestWhoseSessionIsClosedBeforeItsHandshakeIsRead) {
  for (const bool replaced : {false, true}) {
    make({});
    pager_->open(endpoint("vm"));
    FakeVmm vmm(dir_ / "vm.sock", kPages, verify_within_a_minute);
    EXPECT_TRUE(vmm.wait_ready());
    if (replaced) {
      pager_->open(endpoint("vm"), Pager::Existing::replace);
    } else {
      EXPECT_TRUE(pager_->close("vm"));
    }
    run();
    EXPECT_TRUE(vmm.ended_well());
    EXPECT_TRUE(wait_for_state("vm", replaced ? "waiting" : "none"));
    TearDown();
  }
}

TEST_F(PagerAdmissionTest, ServesAConnectedGuestIfTheServerDrainsBeforeItsHandshakeIsRead) {
  for (const bool many : {false, true}) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const base::Fd signals(ends[0]);
    const base::Fd sender(ends[1]);
    make({.signals = signals.get()});
    Endpoint opened = endpoint("vm");
    opened.many = many;
    pager_->open(std::move(opened));
    // The signal arrives first, so that it is handled first.
    const struct signalfd_siginfo info {};
    ASSERT_EQ(::write(sender.get(), &info, sizeof info), static_cast<ssize_t>(sizeof info));
    FakeVmm vmm(dir_ / "vm.sock", kPages, verify_within_a_minute);
    EXPECT_TRUE(vmm.wait_ready());
    run();
    EXPECT_TRUE(vmm.ended_well());
    TearDown();
  }
}

TEST_F(PagerAdmissionTest, RefusesASilentClient) {
  start({.handshake_timeout = 1s}).open(endpoint("vm"));
  std::optional<base::Fd> silent = base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
  ASSERT_TRUE(silent);
  EXPECT_TRUE(base::wait_for(silent->get(), POLLIN, base::Deadline::after(60s)));
  EXPECT_EQ(state_of("vm"), "waiting") << "the endpoint stays open for its VMM";
  FakeVmm vmm(dir_ / "vm.sock", kPages, verify_all);
  EXPECT_TRUE(vmm.wait_ready());
}

TEST_F(PagerAdmissionTest, ClosesASessionWithoutAVmmAfterTheTimeout) {
  Pager& pager = start({.connect_timeout = 1s});
  pager.open(endpoint("vm"));
  const Gate go;
  FakeVmm vmm(dir_ / "vm.sock", kPages, verify_after(go));
  ASSERT_TRUE(vmm.wait_ready());
  for (const char* id : {"first", "second", "third"}) {  // each while nothing else happens
    pager.open(endpoint(id));
    EXPECT_TRUE(wait_for_state(id, "none"));
    EXPECT_FALSE(exists(std::string(id) + ".sock"));
  }
  EXPECT_EQ(state_of("vm"), "serving") << "the timeout does not affect a connected VMM";
  go.open(1);
  EXPECT_TRUE(vmm.ended_well());
}

TEST_F(PagerAdmissionTest, AConnectedClientKeepsItsHandshakeTimeout) {
  Pager& pager = make({.handshake_timeout = 200ms, .connect_timeout = 20ms});
  pager.open(endpoint("vm"));
  std::optional<base::Fd> slow = base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
  ASSERT_TRUE(slow);
  const auto start = std::chrono::steady_clock::now();
  run();
  EXPECT_TRUE(base::wait_for(slow->get(), POLLIN, base::Deadline::after(60s)));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 200ms)
      << "the endpoint was closed before its handshake";
  EXPECT_TRUE(wait_for_state("vm", "none"));
}

TEST_F(PagerAdmissionTest, ABadHandshakeAffectsOnlyItsClient) {
  start().open(endpoint("vm"));
  const TestGuest guest(kPages);
  hot::Region beyond = guest.region();
  beyond.offset = hot::kSmallPage;
  const std::array fds{guest.uffd()};
  for (const std::string& body : {std::string("nonsense"), std::string("[]"), std::string("[{}]"),
                                  compose_handshake(std::vector{beyond}),
                                  compose_handshake(std::vector{guest.region(), guest.region()})}) {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
    ASSERT_TRUE(socket) << body;
    base::send_with_fds(socket->get(), body, fds);
    EXPECT_TRUE(base::wait_for(socket->get(), POLLIN, base::Deadline::after(60s))) << body;
    char byte = 0;
    EXPECT_LE(::recv(socket->get(), &byte, 1, 0), 0) << body;
  }
  EXPECT_EQ(state_of("vm"), "waiting");
  EXPECT_FALSE(exists("vm.vmm"));
}

// Firecracker does not read its socket again, so a guest whose server only closes the socket hangs.
TEST_F(PagerAdmissionTest, KillsAndNamesAVmmThatIsRefusedAfterItsUserfaultfd) {
  write_memory_file(dir_ / "small", kPages / 2);
  Endpoint small = endpoint("vm");
  small.image = Image::open(dir_ / "small");
  start().open(std::move(small));
  FakeVmm vmm(dir_ / "vm.sock", kPages, verify_within_a_minute);
  const pid_t pid = vmm.pid();
  const int status = vmm.wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  const std::optional<SessionInfo> info = pager_->session("vm");
  ASSERT_TRUE(info && info->refused);
  EXPECT_EQ(info->refused->pid, pid);
  EXPECT_EQ(info->refused->outcome, "killed");
  EXPECT_NE(info->refused->reason.find("does not fit"), std::string::npos);
}

TEST_F(PagerAdmissionTest, DoesNotKillARefusedVmmWithOnRefusalClose) {
  write_memory_file(dir_ / "small", kPages / 2);
  Endpoint small = endpoint("vm");
  small.image = Image::open(dir_ / "small");
  small.serving.on_refusal = OnRefusal::close;
  start().open(std::move(small));
  FakeVmm vmm(dir_ / "vm.sock", kPages,
              [](const TestGuest&, const base::Fd& socket, const FakeVmm::Ready& ready) {
                require(base::wait_for(socket.get(), POLLIN, base::Deadline::after(60s)));
                ready();
              });
  EXPECT_TRUE(vmm.wait_ready());
  EXPECT_TRUE(vmm.ended_well());
  EXPECT_EQ(pager_->session("vm")->refused->outcome, "hangs");
}

TEST_F(PagerAdmissionTest, NeverKillsAPeerThatSentNoUserfaultfd) {
  start({.handshake_timeout = 1s}).open(endpoint("vm"));
  ChildProcess silent([&](const std::function<void()>& ready) {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
    require(socket && base::wait_for(socket->get(), POLLIN, base::Deadline::after(60s)));
    ready();
  });
  EXPECT_TRUE(silent.wait_ready());
  EXPECT_EQ(pager_->session("vm")->refused->outcome, "closed");
}

TEST_F(PagerAdmissionTest, KillsASecondVmmOfASession) {
  make({});
  pager_->open(endpoint("vm"));
  const Gate go;
  const Gate greeted;
  const auto work = [&](const TestGuest& guest, const base::Fd& socket,
                        const FakeVmm::Ready& ready) {
    greeted.open(1);
    verify_after(go)(guest, socket, ready);
  };
  FakeVmm first(dir_ / "vm.sock", kPages, work);
  FakeVmm second(dir_ / "vm.sock", kPages, work);
  // Both handshakes are sent before the server accepts the first connection.
  greeted.wait();
  greeted.wait();
  run();
  EXPECT_TRUE(wait_for_state("vm", "serving"));
  EXPECT_TRUE(wait_for_true([&] {
    const auto refused = pager_->session("vm")->refused;
    return refused && refused->outcome == "killed";
  }));
  go.open(1);
}

// A TCP socket with unsent data and SO_LINGER, whose close blocks for 60 s.
TEST_F(PagerAdmissionTest, ADescriptorWhoseCloseBlocksDoesNotDelayOthers) {
  Pager& pager = start();
  pager.open(endpoint("bad"));
  pager.open(endpoint("vm"));
  const ChildProcess attacker([&](const std::function<void()>& ready) {
    const base::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    struct sockaddr_in address {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<struct sockaddr*>(&address);
    require(::bind(listener.get(), generic, length) == 0 && ::listen(listener.get(), 1) == 0 &&
            ::getsockname(listener.get(), generic, &length) == 0);
    base::Fd sender(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    require(::connect(sender.get(), generic, length) == 0);
    const struct linger wait { .l_onoff = 1, .l_linger = 60 };
    require(::setsockopt(sender.get(), SOL_SOCKET, SO_LINGER, &wait, sizeof wait) == 0 &&
            ::fcntl(sender.get(), F_SETFL, O_NONBLOCK) == 0);
    const std::string data(size_t{64} << 10U, 'x');
    while (::send(sender.get(), data.data(), data.size(), MSG_NOSIGNAL) > 0) {
    }
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "bad.sock", base::Deadline::after(60s));
    const std::array fds{sender.get()};
    base::send_with_fds(socket.value().get(), "[]", fds);
    // The receiving end stays open in this process. The server has the last copy of the sending
    // end.
    static_cast<void>(::dup2(listener.get(), sender.get()));
    ready();
    ::pause();
  });
  ASSERT_TRUE(attacker.wait_ready());
  EXPECT_TRUE(wait_for_true([&] { return pager_->session("bad")->refused.has_value(); }));
  const auto begin = std::chrono::steady_clock::now();
  FakeVmm vmm(dir_ / "vm.sock", kPages, verify_all);
  EXPECT_TRUE(vmm.wait_ready());
  stop();
  pager_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
}

// Of the silent connections only the number that a VMM may need is kept.
TEST_F(PagerAdmissionTest, AClientThatConnectsRepeatedlyDoesNotBlockOtherVmms) {
  Pager& pager = start();
  pager.open(endpoint("vm"));
  pager.open(endpoint("other"));
  const size_t before = open_descriptors();
  std::vector<base::Fd> silent;
  for (int i = 0; i < 200; ++i) {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
    ASSERT_TRUE(socket);
    silent.push_back(std::move(*socket));
  }
  constexpr size_t kOwnEnds = 200;
  constexpr size_t kOfPending = 34;  // a socket and a pidfd each
  EXPECT_TRUE(wait_for_true([&] { return open_descriptors() <= before + kOwnEnds + kOfPending; }));
  for (const char* id : {"other", "vm"}) {
    FakeVmm vmm(dir_ / (std::string(id) + ".sock"), kPages, verify_all);
    EXPECT_TRUE(vmm.wait_ready()) << id;
  }
}

// Firecracker before 1.12 sends no page_size; its page_size_kib is in bytes.
TEST_F(PagerAdmissionTest, ServesAHandshakeWithoutAPageSize) {
  start().open(endpoint("vm"));
  ChildProcess vmm([&](const std::function<void()>& ready) {
    const TestGuest guest(kPages);
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
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

TEST_F(PagerAdmissionTest, RefusesRegionsThatOverflow) {
  start().open(endpoint("vm"));
  const TestGuest guest(kPages);
  for (const char* region :
       {R"({"base_host_virt_addr":18446744073709547520,"size":8192,"offset":0})",
        R"({"base_host_virt_addr":4096,"size":8192,"offset":18446744073709547520})",
        R"({"base_host_virt_addr":4096,"size":18446744073709547520,"offset":4096})"}) {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
    const std::array fds{guest.uffd()};
    base::send_with_fds(socket.value().get(), std::string("[") + region + "]", fds);
    EXPECT_TRUE(base::wait_for(socket->get(), POLLIN, base::Deadline::after(60s))) << region;
  }
  EXPECT_EQ(state_of("vm"), "waiting");
}

TEST_F(PagerAdmissionTest, WithoutFreeDescriptorsOnlyExistingSessionsAreServed) {
  Pager& pager = start();
  pager.open(endpoint("vm"));
  pager.open(endpoint("late"));
  const Gate go;
  const auto work = verify_after(go);
  FakeVmm vmm(dir_ / "vm.sock", kPages, work);
  ASSERT_TRUE(vmm.wait_ready());
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  struct rlimit limit = before;
  limit.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  size_t opened = 0;
  EXPECT_THROW(
      for (; opened < 64; ++opened) { pager.open(endpoint("s" + std::to_string(opened))); },
      std::system_error);
  EXPECT_THROW(pager.open(endpoint("late"), Pager::Existing::replace), std::system_error);
  EXPECT_EQ(state_of("late"), "waiting") << "an existing session is lost";
  {
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "late.sock", base::Deadline::after(60s));
    ASSERT_TRUE(socket);
    EXPECT_TRUE(base::wait_for(socket->get(), POLLIN, base::Deadline::after(60s)))
        << "a VMM waits for a server that cannot take it";
  }
  go.open(1);
  EXPECT_TRUE(vmm.ended_well());
  EXPECT_TRUE(wait_for_state("vm", "none"));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(state_of("late"), "waiting");
}

TEST_F(PagerAdmissionTest, SessionsWithoutAVmmNeedNoThreads) {
  Pager& pager = start();
  const size_t threads_before = threads();
  const size_t before = open_descriptors();
  constexpr size_t kSessions = 500;
  for (size_t i = 0; i < kSessions; ++i) {
    pager.open(endpoint("s" + std::to_string(i)));
  }
  EXPECT_EQ(pager.active(), kSessions);
  // Fewer if a thread that an earlier test left, such as one of its Closer, has ended since.
  EXPECT_LE(threads(), threads_before);
  EXPECT_LE(open_descriptors(), before + kSessions);
  for (size_t i = 0; i < kSessions; ++i) {
    EXPECT_TRUE(pager.close("s" + std::to_string(i)));
  }
  EXPECT_TRUE(wait_for_true([&] { return open_descriptors() <= before; }));
}

TEST_F(PagerAdmissionTest, TheSocketBelongsToThePeersUser) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  Endpoint given = endpoint("vm");
  given.serving.peer_uid = 12345;
  start().open(std::move(given));
  struct stat st {};
  ASSERT_EQ(::stat((dir_ / "vm.sock").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 12345U);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  // A third user, whom the kernel denies access.
  ChildProcess other([&](const std::function<void()>& ready) {
    require(::setuid(12346) == 0);
    try {
      static_cast<void>(base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s)));
    } catch (const std::system_error& error) {
      require(error.code().value() == EACCES);
      ready();
    }
  });
  EXPECT_TRUE(other.wait_ready());
  // The same user, with access to the socket.
  ASSERT_EQ(::chmod((dir_ / "vm.sock").c_str(), 0666), 0);
  ChildProcess stranger([&](const std::function<void()>& ready) {
    require(::setuid(12346) == 0);
    std::optional<base::Fd> socket =
        base::connect_unix(dir_ / "vm.sock", base::Deadline::after(60s));
    require(socket && base::wait_for(socket->get(), POLLIN, base::Deadline::after(2s)));
    char byte = 0;
    require(::recv(socket->get(), &byte, 1, 0) == 0);
    ready();
  });
  EXPECT_TRUE(stranger.wait_ready());
  EXPECT_EQ(state_of("vm"), "waiting");
  // The user that the socket is for.
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
