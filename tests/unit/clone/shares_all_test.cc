// SPDX-License-Identifier: Apache-2.0
// Clones on a filesystem that shares less than it reports, and similar correct clones.
#include "clone/shares_all.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace cloning {
namespace {

constexpr off_t kPage = 4096;

// Files in memory: 'd' is a page of data, 'z' one of zeros that are data, '.' a hole.
base::Fd make_file(const std::string& pages) {
  base::Fd fd(::memfd_create("shares_all_test", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(pages.size()) * kPage), 0);
  for (size_t i = 0; i < pages.size(); ++i) {
    if (pages[i] != '.') {
      const std::vector<std::byte> page(kPage, std::byte(pages[i] == 'd' ? 'd' : 0));
      base::pwrite_full(fd.get(), page, static_cast<off_t>(i) * kPage, "test file");
    }
  }
  return fd;
}

SourceFile source_of(const std::string& pages) {
  SourceFile src{.fd = make_file(pages), .path = "src"};
  EXPECT_EQ(::fstat(src.fd.get(), &src.st), 0);
  return src;
}

void check(const std::string& src, const std::string& clone) {
  require_all_shared(source_of(src), make_file(clone).get(), "dst");
}

TEST(SharesAll, AWholeCloneIsAccepted) {
  EXPECT_NO_THROW(check("d.dd", "d.dd"));
  EXPECT_NO_THROW(check("", ""));
}

TEST(SharesAll, AShortCloneIsAFailure) {
  EXPECT_THROW(check("dddd", "dd"), base::Error);
  EXPECT_THROW(check("d...", "d"), base::Error);
}

TEST(SharesAll, AHoleInsteadOfDataIsAFailure) {
  EXPECT_THROW(check("dddd", "dd.."), base::Error);
  EXPECT_THROW(check("ddd.", "d.d."), base::Error);
  EXPECT_THROW(check(".ddd", "...."), base::Error);
}

TEST(SharesAll, AHoleInsteadOfZerosIsTheSame) {
  EXPECT_NO_THROW(check("dzzd", "d..d"));
}

TEST(SharesAll, ASourceThatGrewHasALongerClone) {
  EXPECT_NO_THROW(check("dd", "dddd"));
}

TEST(SharesAll, ASourceThatWasWrittenToSinceProvesNothing) {
  const SourceFile src = source_of("d..d");
  const base::Fd clone = make_file("d..d");
  const std::vector<std::byte> page(kPage, std::byte('n'));
  struct stat now {};
  do {  // the clock of the filesystem is coarse
    base::pwrite_full(src.fd.get(), page, kPage, "test file");
    ASSERT_EQ(::fstat(src.fd.get(), &now), 0);
  } while (now.st_mtim.tv_sec == src.st.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == src.st.st_mtim.tv_nsec);
  EXPECT_NO_THROW(require_all_shared(src, clone.get(), "dst"));
}

}  // namespace
}  // namespace cloning
