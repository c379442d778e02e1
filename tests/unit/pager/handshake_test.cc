// SPDX-License-Identifier: Apache-2.0
// Tests the parsing of handshakes, and their collection from a socket.
#include "pager/protocol/handshake.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/unix_socket.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

constexpr const char* kOne =
    R"([{"base_host_virt_addr":140116060274688,"size":134217728,"offset":0,"page_size":4096}])";

// The error of parse_handshake for `body`; empty if it is accepted.
std::string refusal(std::string_view body) {
  try {
    parse_handshake(body);
  } catch (const base::BadData& error) {
    return error.what();
  }
  return "";
}

TEST(HandshakeBody, ParsesTheBodiesOfFirecracker) {
  const std::ifstream file("tests/fixtures/plain/handshake.json");
  if (!file) {
    GTEST_SKIP() << "tests/fixtures/plain is not here";
  }
  std::stringstream body;
  body << file.rdbuf();
  const std::vector<hot::Region> regions = parse_handshake(body.str());
  ASSERT_EQ(regions.size(), 1U);
  EXPECT_EQ(
      regions[0],
      (hot::Region{.base = 140116060274688, .size = 134217728, .offset = 0, .page_size = 4096}));
}

TEST(HandshakeBody, ParsesAnObjectAroundTheArray) {
  EXPECT_EQ(parse_handshake(R"({"mappings":)" + std::string(kOne) + "}").size(), 1U);
}

TEST(HandshakeBody, PageSizeFallsBackToPageSizeKibAndThenTo4096) {
  const std::string start = R"([{"base_host_virt_addr":2097152,"size":2097152,"offset":0)";
  EXPECT_EQ(parse_handshake(start + R"(,"page_size_kib":2097152}])")[0].page_size, hot::kHugePage);
  EXPECT_EQ(parse_handshake(start + R"(,"page_size":0,"page_size_kib":2097152}])")[0].page_size,
            hot::kHugePage);
  EXPECT_EQ(parse_handshake(start + "}]")[0].page_size, hot::kSmallPage);
}

TEST(HandshakeBody, AComposedBodyIsParsed) {
  const std::vector<hot::Region> regions{
      {.base = 0x7f0000000000, .size = 0x40000000, .offset = 0, .page_size = 4096},
      {.base = 0x7e0000000000,
       .size = 0x200000,
       .offset = 0x40000000,
       .page_size = hot::kHugePage}};
  EXPECT_EQ(parse_handshake(compose_handshake(regions)), regions);
}

TEST(HandshakeBody, RefusesMalformedBodies) {
  EXPECT_NE(refusal(""), "");
  EXPECT_NE(refusal("nonsense"), "");
  EXPECT_NE(refusal("7"), "");
  EXPECT_NE(refusal("{}"), "");
  EXPECT_NE(refusal("[1]"), "");
  EXPECT_NE(refusal(std::string(kOne) + "x"), "");
  EXPECT_NE(refusal(R"([{"size":4096,"offset":0}])"), "");
  EXPECT_NE(refusal(R"([{"base_host_virt_addr":-4096,"size":4096,"offset":0}])"), "");
  EXPECT_NE(refusal(R"([{"base_host_virt_addr":0.5,"size":4096,"offset":0}])"), "");
  EXPECT_NE(refusal(R"([{"base_host_virt_addr":"0","size":4096,"offset":0}])"), "");
  EXPECT_NE(refusal(R"([{"base_host_virt_addr":36893488147419103232,"size":4096,"offset":0}])"),
            "");
  EXPECT_NE(refusal(std::string(500000, '[')), "");
  EXPECT_EQ(refusal("[{}"),
            "cannot use the handshake: the body is not JSON: missing ',' or ']' (at byte 3)");
  EXPECT_EQ(refusal("{}"),
            "cannot use the handshake: the body is an object that has no 'mappings'");
  EXPECT_EQ(refusal(R"({"mappings":{}})"),
            "cannot use the handshake: the body is not an array of regions");
  EXPECT_EQ(refusal("[[]]"), "cannot use the handshake: region 0 is not an object");
}

TEST(HandshakeBody, RefusesAKeyThatOccursTwice) {
  const std::string region = kOne;
  const std::string twice = region.substr(0, region.size() - 2) + R"(,"offset":4096}])";
  EXPECT_NE(refusal(twice).find("the body is not JSON: duplicate key 'offset' in one object"),
            std::string::npos)
      << refusal(twice);
  EXPECT_NE(refusal(R"({"mappings":)" + twice + "}").find("duplicate key 'offset'"),
            std::string::npos);
  EXPECT_NE(
      refusal(R"({"mappings":[],"mappings":)" + region + "}").find("duplicate key 'mappings'"),
      std::string::npos);
  const std::string unknown = region.substr(0, region.size() - 2) + R"(,"x":[{"y":1,"y":1}]}])";
  EXPECT_NE(refusal(unknown).find("duplicate key 'y'"), std::string::npos);
}

TEST(HandshakeBody, IgnoresUnknownFieldsWhateverTheirNumbers) {
  const std::string region = kOne;
  EXPECT_EQ(refusal(region.substr(0, region.size() - 2) + R"(,"x":1e400,"y":-0,"z":null}])"), "");
}

TEST(JsonCollector, FindsTheEndForAnySplit) {
  const std::string text = R"( [{"a]\"}":"\\"},[]] )";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    JsonCollector collector;
    collector.add(std::string_view(text).substr(0, cut));
    EXPECT_EQ(collector.is_whole(), cut >= text.size() - 1) << cut;
    collector.add(std::string_view(text).substr(cut));
    EXPECT_TRUE(collector.is_whole()) << cut;
    EXPECT_EQ(collector.text(), text) << cut;
  }
}

TEST(JsonCollector, KeepsWhiteSpaceInStringsAndReducesTheRest) {
  JsonCollector collector;
  collector.add("[ \t\r\n \"a  b\" ,  1   2,\"\\\"  \"]");
  EXPECT_EQ(collector.text(), "[ \"a  b\" , 1 2,\"\\\"  \"]");
}

TEST(JsonCollector, TextWithoutABracketIsCompleteAtOnce) {
  JsonCollector collector;
  collector.add("  ");
  EXPECT_FALSE(collector.is_whole());
  collector.add("x");
  EXPECT_TRUE(collector.is_whole());
}

class HandshakeSocket : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()), 0);
    vmm_ = base::Fd(pair[0]);
    server_ = base::Fd(pair[1]);
    try {
      uffd_ = uffd_create();
    } catch (const base::Unsupported& error) {
      GTEST_SKIP() << error.what();
    }
  }

  void send(std::string_view text, std::initializer_list<int> fds) const {
    base::send_with_fds(vmm_.get(), text, {fds.begin(), fds.size()});
  }
  std::string refusal() {
    try {
      static_cast<void>(reader_.read_from(server_.get()));
    } catch (const base::BadData& error) {
      return error.what();
    }
    return "";
  }

  base::Fd vmm_;
  base::Fd server_;
  base::Fd uffd_;
  HandshakeReader reader_;
};

TEST_F(HandshakeSocket, OneMessageIsEnough) {
  EXPECT_FALSE(reader_.read_from(server_.get()));
  send(kOne, {uffd_.get()});
  const auto result = reader_.read_from(server_.get());
  ASSERT_TRUE(result);
  EXPECT_TRUE(is_userfaultfd(result->uffd.get()));
  EXPECT_NE(::fcntl(result->uffd.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(result->regions.size(), 1U);
}

TEST_F(HandshakeSocket, AcceptsSingleBytesWithTheDescriptorLast) {
  const std::string_view body = kOne;
  for (const char c : body) {
    EXPECT_FALSE(reader_.read_from(server_.get()));
    send({&c, 1}, {});
  }
  EXPECT_FALSE(reader_.read_from(server_.get()));
  send(" ", {uffd_.get()});
  EXPECT_TRUE(reader_.read_from(server_.get()));
}

TEST_F(HandshakeSocket, AcceptsASocketThatTheVmmClosedAfterSending) {
  send(kOne, {uffd_.get()});
  vmm_.reset();
  EXPECT_TRUE(reader_.read_from(server_.get()));
}

TEST_F(HandshakeSocket, AcceptsSixtyFourRegionsAndMuchWhiteSpace) {
  std::vector<hot::Region> regions;
  for (uint64_t i = 0; i < 64; ++i) {
    regions.push_back({.base = (i + 1) << 32U, .size = 4096, .offset = i * 4096});
  }
  const std::string body = std::string(200000, ' ') + compose_handshake(regions);
  send(body.substr(0, 100000), {uffd_.get()});
  EXPECT_FALSE(reader_.read_from(server_.get()));
  send(body.substr(100000), {});
  const auto result = reader_.read_from(server_.get());
  ASSERT_TRUE(result);
  EXPECT_EQ(result->regions, regions);
}

// As after the death of a server: the next one reads what its predecessor has left in the queue.
TEST_F(HandshakeSocket, ASecondReaderStartsAgainIfTheFirstLeftAllInTheQueue) {
  const std::string_view body = kOne;
  reader_.leave_in_queue(server_.get());
  send(body.substr(0, 9), {uffd_.get()});
  EXPECT_FALSE(reader_.read_from(server_.get()));
  send(body.substr(9, 9), {});
  EXPECT_FALSE(reader_.read_from(server_.get()));
  HandshakeReader second;
  second.leave_in_queue(server_.get());
  send(body.substr(18), {});
  const auto result = second.read_from(server_.get());
  ASSERT_TRUE(result);
  EXPECT_EQ(result->regions.size(), 1U);
  second.take_out_of_queue(server_.get());
  char byte = 0;
  EXPECT_EQ(::recv(server_.get(), &byte, 1, MSG_DONTWAIT), -1) << "the queue is not empty";
}

TEST_F(HandshakeSocket, LeavesAMessageOfAnyLengthInTheQueueAsOne) {
  for (const size_t blanks : {20'000U, 40'000U, 60'000U, 80'000U}) {
    HandshakeReader reader;
    reader.leave_in_queue(server_.get());
    send(std::string(blanks, ' ') + kOne, {uffd_.get()});
    EXPECT_TRUE(reader.read_from(server_.get())) << blanks;
    reader.take_out_of_queue(server_.get());
  }
}

TEST_F(HandshakeSocket, RefusesTwoDescriptorsAtOnceOrOneAfterTheOther) {
  send(kOne, {uffd_.get(), uffd_.get()});
  EXPECT_NE(refusal().find("more than one"), std::string::npos);
}

TEST_F(HandshakeSocket, RefusesADescriptorOfAnotherKind) {
  send(kOne, {STDIN_FILENO});
  EXPECT_NE(refusal().find("not a userfaultfd"), std::string::npos);
}

TEST_F(HandshakeSocket, RefusesAnEarlyEndOfTheBody) {
  send("[", {uffd_.get()});
  vmm_.reset();
  EXPECT_NE(refusal().find("closed after 1 bytes and its descriptor"), std::string::npos);
}

TEST_F(HandshakeSocket, AcceptsEightMebibytesOfWhiteSpace) {
  const std::string piece(64 << 10, ' ');
  send("[", {uffd_.get()});
  for (int i = 0; i < 128; ++i) {
    send(piece, {});
    EXPECT_FALSE(reader_.read_from(server_.get()));
  }
  send(std::string_view(kOne).substr(1), {});
  const auto result = reader_.read_from(server_.get());
  ASSERT_TRUE(result);
  EXPECT_EQ(result->regions.size(), 1U);
}

TEST_F(HandshakeSocket, RefusesEndlessWhiteSpace) {
  const std::string piece(64 << 10, ' ');
  std::string why;
  for (int i = 0; i < 257 && why.empty(); ++i) {
    send(piece, {});
    why = refusal();
  }
  EXPECT_NE(why.find("longer than 16777216 bytes"), std::string::npos);
}

TEST_F(HandshakeSocket, RefusesMoreThanOneMebibyteOfText) {
  const std::string piece(64 << 10, '[');
  std::string why;
  for (int i = 0; i < 17 && why.empty(); ++i) {
    send(piece, {});
    why = refusal();
  }
  EXPECT_NE(why.find("longer than 1048576 bytes of text"), std::string::npos);
}

// A stream has no message boundaries: two parts that were sent may be read as one.
TEST_F(HandshakeSocket, JoinsPartsOfOneHandshake) {
  const std::string_view body = kOne;
  send(body.substr(0, 9), {});
  send(body.substr(9, 20), {});
  send(body.substr(29), {uffd_.get()});
  EXPECT_TRUE(reader_.read_from(server_.get()));
}

TEST_F(HandshakeSocket, RefusesTwoHandshakesInOne) {
  send(std::string(kOne) + kOne, {uffd_.get()});
  EXPECT_NE(refusal().find("not JSON"), std::string::npos);
}

TEST_F(HandshakeSocket, WaitsForAMissingDescriptor) {
  send(kOne, {});
  EXPECT_FALSE(reader_.read_from(server_.get()));
  vmm_.reset();
  EXPECT_NE(refusal().find("and no descriptor"), std::string::npos);
}

TEST_F(HandshakeSocket, ClosesEveryDescriptorOfARefusedHandshake) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const base::Fd read_end(pipe[0]);
  base::Fd write_end(pipe[1]);
  send(kOne, {write_end.get(), write_end.get(), write_end.get()});
  write_end.reset();
  EXPECT_NE(refusal(), "");
  { const HandshakeReader gone = std::move(reader_); }
  char byte = 0;
  EXPECT_EQ(::read(read_end.get(), &byte, 1), 0) << "the other end is still open";
}

}  // namespace
}  // namespace pager
