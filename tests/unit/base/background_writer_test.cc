// SPDX-License-Identifier: Apache-2.0
// Writing to files that block, fail, or cannot be opened.
#include "base/background_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <system_error>

#include "base/error.h"

namespace {

using OnError = base::BackgroundWriter::OnError;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct Pipe {
  base::Fd read_end;
  base::Fd write_end;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    base::throw_errno("cannot make a pipe");
  }
  return {.read_end = base::Fd(ends[0]), .write_end = base::Fd(ends[1])};
}

std::string read_from(const base::Fd& fd, size_t bytes) {
  std::string text(bytes, '\0');
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n = ::read(fd.get(), text.data() + done, bytes - done);
    if (n <= 0) {
      break;
    }
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

TEST(BackgroundWriter, WritesInOrderAndDrains) {
  Pipe pipe = make_pipe();
  base::BackgroundWriter writer("test", 1000, OnError::end,
                                [&] { return std::move(pipe.write_end); });
  EXPECT_TRUE(writer.write("one\n"));
  EXPECT_TRUE(writer.write("two\n"));
  EXPECT_TRUE(writer.drain(seconds(60)));
  EXPECT_EQ(read_from(pipe.read_end, 8), "one\ntwo\n");
}

TEST(BackgroundWriter, ABlockedPipeDoesNotBlockTheCaller) {
  Pipe pipe = make_pipe();
  constexpr size_t kPiece = 1000;
  const std::string piece(kPiece, 'x');
  size_t taken = 0;
  {
    base::BackgroundWriter writer("test", 50 * kPiece, OnError::end,
                                  [&] { return std::move(pipe.write_end); });
    // Half of them fit into the pipe, which has 64 KiB; then the queue fills.
    for (; taken < 50; ++taken) {
      ASSERT_TRUE(writer.write(piece));
      ASSERT_TRUE(writer.drain(seconds(60)));
    }
    while (writer.write(piece)) {
      ++taken;
      ASSERT_LT(taken, 1000U);
    }
    EXPECT_GE(taken, 100U);
    EXPECT_FALSE(writer.drain(milliseconds(1)));
    EXPECT_EQ(writer.failure(), "");
  }
  // The accepted data arrives after the writer object is destroyed.
  EXPECT_EQ(read_from(pipe.read_end, taken * kPiece).size(), taken * kPiece);
  EXPECT_EQ(read_from(pipe.read_end, 1), "") << "then the thread closes its end";
}

TEST(BackgroundWriter, AFileThatCannotBeOpenedOrWrittenIsAFailure) {
  base::BackgroundWriter none("test", 1000, OnError::end,
                              []() -> base::Fd { throw base::BadData("no such file"); });
  static_cast<void>(none.write("lost"));
  EXPECT_FALSE(none.drain(seconds(60)) && none.failure().empty());
  base::BackgroundWriter full("test", 1000, OnError::end,
                              [] { return base::open_file("/dev/full", O_WRONLY); });
  static_cast<void>(full.write("lost"));
  EXPECT_FALSE(full.drain(seconds(60)));
  EXPECT_NE(full.failure().find("No space"), std::string::npos);
  EXPECT_FALSE(full.write("more"));
}

TEST(BackgroundWriter, ALogContinuesAfterAFullDisk) {
  base::BackgroundWriter log("test", 1000, OnError::skip,
                             [] { return base::open_file("/dev/full", O_WRONLY); });
  EXPECT_TRUE(log.write("one"));
  EXPECT_TRUE(log.write("two"));
  EXPECT_TRUE(log.drain(seconds(60)));
  EXPECT_EQ(log.take_skipped(), 2U);
  EXPECT_EQ(log.take_skipped(), 0U);
  EXPECT_TRUE(log.write("three"));
}

TEST(BackgroundWriter, AnotherHolderMaySetTheFileToNonBlocking) {
  Pipe pipe = make_pipe();
  ASSERT_EQ(::fcntl(pipe.write_end.get(), F_SETFL, O_NONBLOCK), 0);
  base::BackgroundWriter writer("test", 1 << 20, OnError::end,
                                [&] { return std::move(pipe.write_end); });
  const std::string text(200'000, 'y');
  EXPECT_TRUE(writer.write(text));
  EXPECT_EQ(read_from(pipe.read_end, text.size()), text);
  EXPECT_TRUE(writer.drain(seconds(60)));
}

}  // namespace
