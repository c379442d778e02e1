// SPDX-License-Identifier: Apache-2.0
// Tests of clone/report.h.
#include "base/effect.h"
#include "clone/report.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string_view>

namespace cloning {
namespace {

TEST(Report, HumanBytesUseBinaryUnits) {
  EXPECT_EQ(human_bytes(0), "0 bytes");
  EXPECT_EQ(human_bytes(1), "1 byte");
  EXPECT_EQ(human_bytes(1023), "1023 bytes");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes(12 << 10), "12 KiB");
  EXPECT_EQ(human_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_bytes(int64_t{4} << 30), "4.0 GiB");
}

FileReport copied_disk() {
  return {.path = "d/disk",
          .method = Method::copy,
          .refused = EOPNOTSUPP,
          .refused_why = "ext4 cannot share blocks",
          .size = 10 << 20,
          .copied = 4 << 20,
          .hole = 6 << 20};
}

TEST(Report, AFileRecordHasEveryField) {
  EXPECT_EQ(file_record(copied_disk()),
            R"({"type":"file","v":1,"path":"d/disk","method":"copy","refused":"EOPNOTSUPP",)"
            R"("refused_why":"ext4 cannot share blocks",)"
            R"("size_bytes":10485760,"bytes_shared":0,"bytes_copied":4194304,"bytes_linked":0,)"
            R"("bytes_hole":6291456,"bytes_dug":0,"extents":null,"extents_after":null,)"
            R"("defragged":null,"has_writer":false,"seconds":0.000000,)"
            R"("phases":{"flush":0.000000,"reflink":0.000000,"copy":0.000000,"dig":0.000000,)"
            R"("verify":0.000000,"publish":0.000000}})");
}

TEST(Report, ATotalNamesTheMethod) {
  const auto method_of = [](const std::deque<FileReport>& files) {
    const std::string record = total_record(
        {.src = "s", .dst = "d", .files = files, .elapsed = {}, .effect = base::Effect::real});
    constexpr std::string_view kKey = R"("method":")";
    const size_t at = record.find(kKey) + kKey.size();
    return record.substr(at, record.find('"', at) - at);
  };
  const FileReport shared{.path = "a", .method = Method::reflink, .shared = 1};
  const FileReport linked{.path = "b", .method = Method::link, .linked = 1};
  EXPECT_EQ(method_of({}), "none");
  EXPECT_EQ(method_of({linked}), "none");
  EXPECT_EQ(method_of({shared, linked}), "reflink");
  EXPECT_EQ(method_of({copied_disk()}), "copy");
  EXPECT_EQ(method_of({copied_disk(), shared}), "mixed");
}

TEST(Report, TheLinesForAPersonHaveTheReasonOfACopy) {
  const CloneReport report{.src = "s",
                           .dst = "d",
                           .files = {copied_disk()},
                           .skipped = 2,
                           .elapsed = std::chrono::milliseconds(12),
                           .effect = base::Effect::real};
  EXPECT_EQ(file_lines(report, 1), "'d/disk': copy, 4.0 MiB copied, 6.0 MiB hole\n");
  EXPECT_EQ(total_line(report),
            "'d': 1 file, 4.0 MiB copied, 6.0 MiB hole (ext4 cannot share blocks), 2 "
            "skipped, 12.0 ms\n");
}

TEST(Report, ACallThatCopiesNamesTheReasonAndTheSum) {
  const CloneReport report{.src = "s", .dst = "d", .files = {copied_disk()}, .elapsed = {}};
  CopyNotice notice;
  EXPECT_EQ(notice.text(base::Effect::real), std::nullopt);
  notice.add(report);
  notice.add(report);
  EXPECT_EQ(notice.text(base::Effect::real),
            "ext4 cannot share blocks: 8.0 MiB are copied; 'reflink-clone --reflink=always' "
            "refuses to copy");
  EXPECT_EQ(notice.text(base::Effect::dry_run),
            "ext4 cannot share blocks: 8.0 MiB would be copied; 'reflink-clone --reflink=always' "
            "refuses to copy");
}

TEST(Report, ARequestedCopyIsNotReported) {
  CopyNotice notice;
  notice.add(FileReport{.path = "a", .method = Method::copy, .copied = 1 << 30});
  notice.add(FileReport{.path = "b", .refused = EOPNOTSUPP, .refused_why = "x", .copied = 1});
  EXPECT_EQ(notice.text(base::Effect::real), std::nullopt);
}

}  // namespace
}  // namespace cloning
