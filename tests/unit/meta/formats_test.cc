// SPDX-License-Identifier: Apache-2.0
// Tests the table of snapshot versions, and that each of its rows is tested by states.
#include "meta/vmstate/formats.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/meta/vmstate_writer.h"

namespace vmstate = meta::vmstate;

namespace {

std::vector<std::string> releases_of(std::string_view version) {
  std::vector<std::string> texts;
  for (const vmstate::ReleaseNumber& release : vmstate::releases_that_load(version)) {
    texts.push_back(release.text());
  }
  return texts;
}

TEST(Formats, HaveTheirRowsInOrder) {
  const auto formats = vmstate::all_formats();
  for (size_t i = 1; i < formats.size(); ++i) {
    EXPECT_TRUE(formats[i - 1].version == formats[i].version ||
                vmstate::releases_that_load(formats[i - 1].version).back() <
                    vmstate::releases_that_load(formats[i].version).front())
        << i;
    EXPECT_LE(formats[i - 1].layout, formats[i].layout) << i;
  }
}

// A row without a state of its own in the tests would be untested: add its structs to
// kWriterReleases.
TEST(Formats, OfEachRowHaveAWriterInTheTests) {
  using VersionAndEncoding = std::pair<std::string, bool>;
  std::set<VersionAndEncoding> rows;
  for (const vmstate::Format& format : vmstate::all_formats()) {
    rows.emplace(format.version, format.encoding == vmstate::Encoding::bitcode);
  }
  std::set<VersionAndEncoding> writers;
  std::set<vmstate::Layout> known;
  for (const ReleaseFacts& release : kWriterReleases) {
    writers.emplace(release.version, release.is_bitcode);
  }
  EXPECT_EQ(rows, writers);
  for (const vmstate::Format& format : vmstate::all_formats()) {
    if (!format.is_assumed) {
      known.insert(format.layout);
    }
  }
  std::set<std::string> structs;
  for (const ReleaseFacts& release : kWriterReleases) {
    structs.insert(release.structs);
  }
  EXPECT_EQ(known.size(), structs.size());
}

TEST(Formats, NameTheReleasesThatWriteThem) {
  EXPECT_EQ(releases_of("3.0.0"), (std::vector<std::string>{"1.9.0", "1.9.1", "1.10.0"}));
  EXPECT_EQ(releases_of("4.0.0"), (std::vector<std::string>{"1.10.1"}));
  EXPECT_EQ(releases_of("8.0.0"),
            (std::vector<std::string>{"1.13.0", "1.13.1", "1.13.2", "1.14.0", "1.14.1", "1.14.2",
                                      "1.14.3", "1.14.4"}));
  EXPECT_EQ(releases_of("11.0.0"), (std::vector<std::string>{"1.16.2"}));
  EXPECT_TRUE(releases_of("7.0.0").empty());
  EXPECT_TRUE(releases_of("12.0.1").empty());
  EXPECT_TRUE(releases_of("").empty());
  for (const vmstate::Format& format : vmstate::all_formats()) {
    for (const vmstate::ReleaseNumber& release : format.releases()) {
      EXPECT_EQ(vmstate::versions_loaded_by(release).text(), format.version) << release.text();
    }
  }
}

TEST(Formats, LimitTheVersionsOfAReleaseThatIsNotKnown) {
  EXPECT_EQ(vmstate::versions_loaded_by({1, 8, 0}).text(), "3.0.0 or earlier");
  EXPECT_EQ(vmstate::versions_loaded_by({1, 14, 5}).text(), "8.0.0 to 9.0.0");
  EXPECT_EQ(vmstate::versions_loaded_by({1, 16, 3}).text(), "11.0.0 to 12.0.0");
  EXPECT_EQ(vmstate::versions_loaded_by({1, 17, 1}).text(), "12.0.0 or later");
  EXPECT_EQ(vmstate::versions_loaded_by({2, 0, 0}).text(), "12.0.0 or later");
  EXPECT_TRUE(vmstate::versions_loaded_by({2, 0, 0}).includes("100.0.0"));
  EXPECT_TRUE(vmstate::VersionRange().includes("1.0.0"));
}

TEST(Formats, KnowWhichVersionsAreNewerAndOlder) {
  EXPECT_TRUE(vmstate::is_newer_version("12.0.1"));
  EXPECT_TRUE(vmstate::is_newer_version("13.0.0"));
  EXPECT_FALSE(vmstate::is_newer_version("12.0.0"));
  EXPECT_FALSE(vmstate::is_newer_version("7.0.0"));
  EXPECT_TRUE(vmstate::is_older_than("8.0.0", {1, 15, 0}));
  EXPECT_TRUE(vmstate::is_older_than("7.0.0", {1, 15, 0}));
  EXPECT_TRUE(vmstate::is_older_than("2.0.0", {1, 15, 0}));
  EXPECT_FALSE(vmstate::is_older_than("8.0.0", {1, 14, 0}));
  EXPECT_FALSE(vmstate::is_older_than("9.0.0", {1, 15, 0}));
  EXPECT_FALSE(vmstate::is_older_than("13.0.0", {1, 99, 0}));
  EXPECT_EQ(vmstate::format_like("7.0.0").version, "6.0.0");
  EXPECT_EQ(vmstate::format_like("99.0.0").version, vmstate::all_formats().back().version);
  EXPECT_EQ(vmstate::format_like("1.0.0").version, vmstate::all_formats().front().version);
}

TEST(Release, IsParsedOnlyIfItIsOne) {
  EXPECT_EQ(vmstate::parse_release("1.16.0")->text(), "1.16.0");
  for (const char* text : {"", "1", "1.16", "1.16.", "1.16.0-dev", "v1.16.0", "1.016.0", "1.16.0.1",
                           " 1.16.0", "-1.1.1"}) {
    EXPECT_FALSE(vmstate::parse_release(text)) << text;
  }
  EXPECT_TRUE(vmstate::is_vmm_version("1.16.0"));
  EXPECT_TRUE(vmstate::is_vmm_version("1.17.0-dev"));
  EXPECT_TRUE(vmstate::is_vmm_version("1.15.1+g81b38b9"));
  EXPECT_FALSE(vmstate::is_vmm_version("1.17.0-\n"));
  EXPECT_FALSE(vmstate::is_vmm_version("1.17"));
  EXPECT_FALSE(vmstate::is_vmm_version("/usr/bin/firecracker"));
}

}  // namespace
