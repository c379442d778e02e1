// SPDX-License-Identifier: Apache-2.0
// Tests of clone/contents.h and clone/reflink.h, on whatever filesystem the temporary directory is.
#include "clone/contents.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "clone/clone.h"
#include "clone/reflink.h"
#include "clone/verify.h"
#include "file/file_lease.h"
#include "tests/unit/scratch_dir.h"

namespace cloning {
namespace {

namespace fs = std::filesystem;

class ContentsTest : public testing::Test {
 protected:
  ContentsTest() { write("src", "some text"); }
  std::string path(const std::string& name) const { return dir_ / name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  base::Fd new_file() const {
    return base::open_file(path("dst"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  }

 private:
  ScratchDir dir_;
};

TEST_F(ContentsTest, CopiesWithoutReflink) {
  const Request request;
  Progress progress;
  ContentCloner contents(request, progress);
  const SourceFile src = open_operand(path("src"));
  const base::Fd dst = new_file();
  const FileReport report = contents.clone(src, dst.get(), path("dst"), ReflinkMode::never);
  EXPECT_EQ(report.method, Method::copy);
  EXPECT_EQ(report.refused, 0);
  EXPECT_EQ(report.copied, 9);
  EXPECT_EQ(base::read_file(path("dst"), 100), "some text");
}

TEST_F(ContentsTest, AnEmptyFileNeedsNothing) {
  std::ofstream(path("src"), std::ios::trunc).close();
  const Request request;
  Progress progress;
  ContentCloner contents(request, progress);
  const base::Fd dst = new_file();
  EXPECT_EQ(
      contents.clone(open_operand(path("src")), dst.get(), path("dst"), ReflinkMode::always).method,
      Method::none);
}

TEST_F(ContentsTest, RefusesASourceThatChangesDuringTheClone) {
  Request request;
  request.steady = true;
  Progress progress;
  ContentCloner contents(request, progress);
  const SourceFile src = open_operand(path("src"));
  std::ofstream(path("src"), std::ios::app) << " and more";
  const base::Fd dst = new_file();
  EXPECT_THROW(contents.clone(src, dst.get(), path("dst"), ReflinkMode::automatic), base::Refused);
  request.steady = false;
  EXPECT_NO_THROW(contents.clone(src, dst.get(), path("dst"), ReflinkMode::automatic));
}

TEST_F(ContentsTest, ATruncatedSourceIsRefusedAndAGrowingOneIsCutAtItsOldSize) {
  const Request request;
  Progress progress;
  ContentCloner contents(request, progress);
  const SourceFile src = open_operand(path("src"));
  std::ofstream(path("src"), std::ios::app) << " and more";
  const base::Fd dst = new_file();
  static_cast<void>(contents.clone(src, dst.get(), path("dst"), ReflinkMode::never));
  EXPECT_EQ(base::read_file(path("dst"), 100), "some text");
  write("src", "some");
  EXPECT_THROW(contents.clone(src, dst.get(), path("dst"), ReflinkMode::never), base::Refused);
}

TEST_F(ContentsTest, ALeaseDetectsAWriter) {
  const SourceFile src = open_operand(path("src"));
  const auto state = [&] {
    return file::FileLease(src.fd.get(), file::FileLease::Kind::read).state();
  };
  EXPECT_NE(state(), file::FileLease::State::refused);
  const base::Fd writer = base::open_file(path("src"), O_RDWR);
  EXPECT_EQ(state(), file::FileLease::State::refused);
  EXPECT_NE(writers_text(src).find(std::to_string(::getpid())), std::string::npos);
}

TEST_F(ContentsTest, VerifyFindsTheDifference) {
  const SourceFile src = open_operand(path("src"));
  write("same", "some text");
  write("other", "some tent");
  write("longer", "some text and more");
  Progress progress;
  const auto verify = [&](const std::string& name) {
    const base::Fd dst = base::open_file(path(name), O_RDWR);
    require_same(src.fd.get(), dst.get(), src.st.st_size, 2, progress, "src", name);
  };
  EXPECT_NO_THROW(verify("same"));
  EXPECT_THROW(verify("other"), base::Refused);
  EXPECT_THROW(verify("longer"), base::Refused);
}

TEST_F(ContentsTest, ANewLinkToTheSourceIsNotAChange) {
  Request request;
  request.steady = true;
  Progress progress;
  ContentCloner contents(request, progress);
  const SourceFile src = open_operand(path("src"));
  fs::create_hard_link(path("src"), path("other"));
  const base::Fd dst = new_file();
  EXPECT_NO_THROW(contents.clone(src, dst.get(), path("dst"), ReflinkMode::automatic));
}

TEST_F(ContentsTest, OnlyFilesAndDirectoriesAreOperands) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_THROW(open_operand(path("fifo")), base::BadData);
  EXPECT_THROW(open_operand("/dev/null"), base::BadData);
  EXPECT_THROW(open_operand(path("absent")), std::system_error);
}

TEST_F(ContentsTest, TheFileSizeLimitIsAnErrorAndNotARefusal) {
  struct rlimit old_limit {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  struct rlimit limit = old_limit;
  limit.rlim_cur = 4;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_NO_THROW(check_file_size_limit(4, "dst"));
  EXPECT_THROW(check_file_size_limit(5, "dst"), base::Error);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old_limit), 0);
}

TEST_F(ContentsTest, AnotherFilesystemIsAnAnswerAndNotAFailure) {
  const SourceFile src = open_operand("/proc/self/maps");
  const base::Fd dst = new_file();
  const int answer = try_reflink(src.fd.get(), dst.get(), "src", "dst");
  EXPECT_TRUE(answer == EXDEV || answer == EOPNOTSUPP) << answer;
}

TEST_F(ContentsTest, AFailureNamesTheFilesAndTheCause) {
  const SourceFile src = open_operand(path("src"));
  const base::Fd dst = base::open_file(path("src"), O_RDONLY);
  try {
    static_cast<void>(try_reflink(src.fd.get(), dst.get(), "one", "two"));
    FAIL() << "nothing thrown";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::ExitCode::system);
    EXPECT_STREQ(error.what(), "cannot reflink 'one' to 'two': Bad file descriptor");
  }
}

}  // namespace
}  // namespace cloning
