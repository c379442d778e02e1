// SPDX-License-Identifier: Apache-2.0
// Tests the limits of a control socket: number of connections, and time.
#include "pager/serve/control_connections.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "pager/serve/control_server.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

using std::chrono::milliseconds;

constexpr uid_t kStranger = 12345;

base::Deadline soon() {
  return base::Deadline::after(std::chrono::minutes(1));
}

// The server's and the client's end of a connection.
struct Pair {
  Pair() {
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
      base::throw_errno("cannot make a socket pair");
    }
    server = base::Fd(fds[0]);
    client = base::Fd(fds[1]);
  }
  bool has_ended(const base::Deadline& deadline = base::Deadline::after(milliseconds(0))) const {
    return base::wait_for(client.get(), POLLIN, deadline);
  }
  base::Fd server;
  base::Fd client;
};

class ControlConnectionsTest : public testing::Test {
 protected:
  void add(const Pair& pair, pid_t pid, uid_t uid = 0) {
    connections_.add(pair.server.get(), {.pid = pid, .uid = uid, .gid = 0});
  }

  // The time limit is longer than any test: only the numbers of connections end them.
  ControlConnections connections_{{.connections = 3,
                                   .of_another_user = 2,
                                   .of_other_users = 3,
                                   .answers = 1,
                                   .time = std::chrono::hours(1)}};
};

TEST(ControlConnectionsTimeTest, ATimeLimitEndsOnlyConnectionsThatWaitForTheirClient) {
  ControlConnections connections{{.connections = 3, .answers = 1, .time = milliseconds(100)}};
  const base::PeerCredentials peer{.pid = 1, .uid = 0, .gid = 0};
  const Pair answered;
  const Pair silent;
  connections.add(answered.server.get(), peer);
  ASSERT_TRUE(connections.begin_answer(answered.server.get(), false));
  connections.add(silent.server.get(), peer);
  EXPECT_TRUE(silent.has_ended(soon()));
  EXPECT_FALSE(answered.has_ended());
  connections.wait_for_client(answered.server.get());  // its client does not read the reply
  EXPECT_TRUE(answered.has_ended(soon()));
}

TEST_F(ControlConnectionsTest, AFloodingProcessLosesItsOwnConnections) {
  const std::array<Pair, 3> flood;
  const Pair status;
  const Pair more;
  add(flood[0], 7);
  add(status, 8);
  add(flood[1], 7);
  add(flood[2], 7);
  EXPECT_TRUE(flood[0].has_ended()) << "the oldest of the process that has most";
  add(more, 7);
  EXPECT_TRUE(flood[1].has_ended());
  EXPECT_FALSE(status.has_ended());
  EXPECT_FALSE(more.has_ended());
}

TEST_F(ControlConnectionsTest, ARequestBeingAnsweredIsNotEndedForANewOne) {
  std::array<Pair, 3> answered;
  for (const Pair& pair : answered) {
    add(pair, 7);
    ASSERT_TRUE(connections_.begin_answer(pair.server.get(), true));
  }
  const Pair late;
  add(late, 8);
  EXPECT_TRUE(late.has_ended());
  for (const Pair& pair : answered) {
    EXPECT_FALSE(pair.has_ended());
  }
}

TEST_F(ControlConnectionsTest, OtherUsersHaveASmallSeparateLimit) {
  const std::array<Pair, 5> strangers;
  const Pair own;
  add(strangers[0], 1, kStranger);
  add(strangers[1], 2, kStranger);
  add(strangers[2], 3, kStranger);
  EXPECT_TRUE(strangers[2].has_ended()) << "exceeds the limit of one user";
  add(strangers[3], 4, kStranger + 1);
  EXPECT_FALSE(strangers[3].has_ended());
  add(strangers[4], 5, kStranger + 2);
  EXPECT_TRUE(strangers[4].has_ended()) << "exceeds the limit of all other users";
  add(own, 6);
  EXPECT_FALSE(own.has_ended());
  connections_.remove(strangers[0].server.get());
  const Pair again;
  add(again, 1, kStranger);
  EXPECT_FALSE(again.has_ended());
}

TEST_F(ControlConnectionsTest, RequestsThatMayWaitLeaveRoomForOthers) {
  const std::array<Pair, 3> pairs;
  for (const Pair& pair : pairs) {
    add(pair, 1);
  }
  EXPECT_TRUE(connections_.begin_answer(pairs[0].server.get(), false));
  EXPECT_FALSE(connections_.begin_answer(pairs[1].server.get(), false));
  EXPECT_TRUE(connections_.begin_answer(pairs[1].server.get(), true));
  connections_.remove(pairs[0].server.get());
  EXPECT_TRUE(connections_.begin_answer(pairs[2].server.get(), false));
}

class ControlServerTest : public testing::Test {
 protected:
  base::Fd connect() const { return std::move(*base::connect_unix(dir_ / "c.sock", soon())); }
  // Returns whether a request on this connection is answered.
  static bool is_answered(const base::Fd& client) {
    const std::string request = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    std::array<char, 12> reply{};
    return ::send(client.get(), request.data(), request.size(), MSG_NOSIGNAL) > 0 &&
           base::wait_for(client.get(), POLLIN, soon()) &&
           ::recv(client.get(), reply.data(), reply.size(), 0) > 0 &&
           std::string_view(reply.data(), reply.size()) == "HTTP/1.1 200";
  }

  ScratchDir dir_;
  Pager pager_{{}};
  ControlApi api_{pager_, {.socket_dir = dir_.path(), .version = "9.9.9"}};
  base::UnixListener listener_{dir_ / "c.sock", base::SocketClaim::directory_is_ours};
  ControlServer server_{listener_, api_, {.connections = 4, .time = milliseconds(1000)}};
};

TEST_F(ControlServerTest, ARequestSentByteByByteEndsAtTheTimeLimit) {
  const base::Fd client = connect();
  const base::Deadline limit = soon();
  ssize_t sent = 1;
  // Sends single bytes. Each pause is shorter than the time limit.
  while (sent > 0 && !limit.passed() &&
         !base::wait_for(client.get(), POLLIN, base::Deadline::after(milliseconds(20)))) {
    sent = ::send(client.get(), "G", 1, MSG_NOSIGNAL);
  }
  EXPECT_FALSE(limit.passed());
  EXPECT_TRUE(is_answered(connect()));
}

TEST_F(ControlServerTest, AnUnreadReplyEndsAtTheTimeLimit) {
  const base::Fd client = connect();
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
  // Sends requests until neither side can send, then waits until the server ends the connection.
  while (base::wait_for(client.get(), POLLOUT, base::Deadline::after(milliseconds(50)))) {
    if (::send(client.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0 && errno == EPIPE) {
      break;
    }
  }
  EXPECT_TRUE(base::wait_for(client.get(), POLLRDHUP, soon()));
}

TEST_F(ControlServerTest, ManySilentConnectionsDoNotBlockOthers) {
  constexpr int kSilent = 20;
  std::vector<base::Fd> silent;
  silent.reserve(kSilent);
  for (int i = 0; i < kSilent; ++i) {
    silent.push_back(connect());
  }
  EXPECT_TRUE(is_answered(connect()));
}

}  // namespace
}  // namespace pager
