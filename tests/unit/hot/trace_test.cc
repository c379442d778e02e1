// SPDX-License-Identifier: Apache-2.0
// Tests traces and their conversion to hot lists.
#include "hot/trace.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/error.h"

namespace hot {
namespace {

// The pages of a list, one by one.
std::vector<HotPage> hot_pages_of(const Trace& trace) {
  const HotList list = hot_list_of(trace);
  return expand(list.runs, list.page_size);
}

TEST(TraceText, ALastLineWithoutANewlineIsIgnored) {
  EXPECT_EQ(parse_trace("1\n12\n", "t").pages, (std::vector<uint64_t>{1, 12}));
  EXPECT_EQ(parse_trace("1\n12", "t").pages, (std::vector<uint64_t>{1})) << "of 123, perhaps";
  EXPECT_TRUE(parse_trace("", "t").pages.empty());
}

constexpr const char* kTwoRegions =
    "# snapfork-trace 2 page_size=4096 memory_bytes=16384 regions=0+8192,8192+8192\n";

std::string complaint(const std::string& text) {
  try {
    parse_trace(text, "t.trace");
  } catch (const base::BadData& error) {
    return error.what();
  }
  return {};
}

TEST(Trace, ParsesTheHeaderThatItWrites) {
  const std::array<Region, 2> regions{Region{.base = 0x7f0000000000, .size = 8192},
                                      Region{.base = 0x7e0000000000, .size = 8192, .offset = 8192}};
  EXPECT_EQ(trace_header(regions, 16384), kTwoRegions);
  const Trace trace = parse_trace(trace_header(regions, 16384) + "3\n0\n3\n", "t");
  EXPECT_EQ(trace.page_size, kSmallPage);
  EXPECT_EQ(trace.memory_bytes, 16384U);
  ASSERT_EQ(trace.regions.size(), 2U);
  EXPECT_EQ(trace.regions[1], (Region{.size = 8192, .offset = 8192}));
  EXPECT_EQ(trace.pages, (std::vector<uint64_t>{3, 0, 3}));
}

TEST(Trace, WithoutAHeaderIsOneRegionOfSmallPages) {
  const Trace trace = parse_trace("223\n\n# a remark\n222\n223\n", "t");
  EXPECT_EQ(trace.page_size, kSmallPage);
  EXPECT_EQ(trace.memory_bytes, 0U);
  EXPECT_TRUE(trace.regions.empty());
  EXPECT_EQ(hot_pages_of(trace),
            (std::vector<HotPage>{{0, 223 * kSmallPage}, {0, 222 * kSmallPage}}));
}

TEST(Trace, HotPagesAreFirstTouchesInTheirRegions) {
  const Trace trace = parse_trace(std::string(kTwoRegions) + "3\n0\n3\n2\n", "t");
  EXPECT_EQ(hot_pages_of(trace), (std::vector<HotPage>{{1, 4096}, {0, 0}, {1, 0}}));
}

TEST(Trace, NumbersHugePages) {
  const Trace trace = parse_trace(
      "# snapfork-trace 1 page_size=2097152 memory_bytes=4194304 regions=0+4194304 more=1\n1\n",
      "t");
  EXPECT_EQ(hot_pages_of(trace), (std::vector<HotPage>{{0, kHugePage}}));
}

TEST(Trace, ReadsVersion1) {
  const Trace trace =
      parse_trace("# snapfork-trace 1 page_size=4096 memory_bytes=8192 regions=0+8192\n1\n", "t");
  EXPECT_EQ(trace.pages, (std::vector<uint64_t>{1}));
}

TEST(Trace, IsTheSameInPiecesOfAnySize) {
  const std::string text = std::string(kTwoRegions) + "3\n# listed 0 2\n2\n# mark ready\n0\n3\n";
  const HotList whole = hot_list_of(parse_trace(text, "t"));
  for (size_t size = 1; size < text.size(); ++size) {
    TraceReader reader("t");
    for (size_t at = 0; at < text.size(); at += size) {
      reader.add(std::string_view(text).substr(at, size));
    }
    EXPECT_EQ(hot_list_of(reader.finish()), whole) << size;
  }
}

TEST(Trace, MarksBeginPhasesAndListedPagesComeFirst) {
  const Trace trace = parse_trace(
      std::string(kTwoRegions) + "3\n# listed 0 2\n2\n# mark ready\n0\n3\n# mark done\n", "t");
  EXPECT_EQ(trace.marks, (std::vector<TraceMark>{{2, "ready"}, {4, "done"}}));
  const HotList list = hot_list_of(trace);
  EXPECT_EQ(hot_pages_of(trace), (std::vector<HotPage>{{0, 0}, {0, 4096}, {1, 4096}, {1, 0}}));
  EXPECT_EQ(list.phases, (std::vector<HotPhase>{{4, ""}, {0, "ready"}, {0, "done"}}));
}

TEST(Trace, RefusesWrongMarksAndListedPages) {
  for (const char* line : {"# mark a b", "# mark ", "# listed", "# listed 1", "# listed x 1",
                           "# listed 3 2", "# listed 0 0", "# listed 1 18446744073709551615"}) {
    const std::string text = std::string(kTwoRegions) + line + "\n";
    // "# listed" without a blank is another remark.
    EXPECT_EQ(complaint(text).empty(), std::string(line) == "# listed") << line;
  }
}

TEST(Trace, NamesWrongLines) {
  EXPECT_EQ(complaint("1\nx\n"), "cannot use trace 't.trace': line 2: 'x' is not a page number");
  for (const char* line : {"-1", "1 2", "0x10", "18446744073709551616", " 1", "4503599627370496"}) {
    EXPECT_NE(complaint(std::string(line) + "\n").find("line 1"), std::string::npos) << line;
  }
  EXPECT_NE(complaint(std::string(kTwoRegions) + "4\n").find("line 2: page 4 is outside"),
            std::string::npos);
}

TEST(Trace, RefusesWrongHeaders) {
  const std::string start = "# snapfork-trace 1 ";
  EXPECT_NE(complaint("# snapfork-trace 3 page_size=4096\n").find("version '3'"),
            std::string::npos);
  for (const char* rest :
       {"", "page_size=4096 regions=0+4096", "page_size=0 memory_bytes=4096 regions=0+4096",
        "page_size=4096 memory_bytes=4096 regions=0+8192",
        "page_size=4096 memory_bytes=8192 regions=0+4096,0+4096",
        "page_size=4096 memory_bytes=8192 regions=0",
        "page_size=4096 memory_bytes=8192 regions=1+4096",
        "page_size=4096 memory_bytes=8192 regions=", "page_size=4096 memory_bytes=x regions=0+4096",
        "page_size=4096 memory_bytes=8192 regions=18446744073709547520+8192"}) {
    EXPECT_NE(complaint(start + rest + "\n").find("line 1"), std::string::npos) << rest;
  }
}

}  // namespace
}  // namespace hot
