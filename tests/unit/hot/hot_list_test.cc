// SPDX-License-Identifier: Apache-2.0
// Tests the HPL1 format and the check of hot lists.
#include "hot/hot_list.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/error.h"
#include "hot/hpl1.h"

namespace hot {
namespace {

constexpr std::array<HotPage, 5> kPages{HotPage{0, 0}, HotPage{0, 4096}, HotPage{1, 8192},
                                        HotPage{0, 4096}, HotPage{300, 1ULL << 40U}};

// A string of a literal that contains zero bytes.
template <size_t N>
std::string bytes(const char (&literal)[N]) {  // NOLINT(modernize-avoid-c-arrays): a literal is one
  return std::string(literal, N - 1);
}

// The error of decoding `data`; empty if there is none.
std::string complaint(const std::string& data) {
  try {
    decode_hot_list(data, "x.hpl");
  } catch (const base::BadData& error) {
    return error.what();
  }
  return {};
}

TEST(HotList, IsWrittenByteForByteAsByHypeman) {
  const std::array<HotPage, 2> pages{HotPage{0, 4096}, HotPage{1, 128}};
  EXPECT_EQ(encode_hpl1(pages), bytes("HPL1\x02\x00\x80\x20\x01\x80\x01"));
  EXPECT_EQ(encode_hpl1(std::vector<HotPage>{}), bytes("HPL1\x00"));
}

TEST(HotList, KeepsOrderAndRepeats) {
  EXPECT_EQ(decode_hot_list(encode_hpl1(kPages), "x.hpl"),
            std::vector<HotPage>(kPages.begin(), kPages.end()));
  EXPECT_TRUE(decode_hot_list(bytes("HPL1\x00"), "x.hpl").empty());
}

TEST(HotList, LargestNumbersFit) {
  const std::vector<HotPage> pages = {{UINT32_MAX, UINT64_MAX}};
  EXPECT_EQ(decode_hot_list(encode_hpl1(pages), "x.hpl"), pages);
}

TEST(HotList, RefusesEveryTruncation) {
  const std::string whole = encode_hpl1(kPages);
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(complaint(whole.substr(0, length)).find("'x.hpl'"), std::string::npos) << length;
  }
}

TEST(HotList, RefusesOtherFormats) {
  EXPECT_NE(complaint(bytes("HPL3\x00")).find("the file starts with 'HPL3', not with HPL1 or HPL2"),
            std::string::npos);
  EXPECT_NE(complaint("HPL").find("the file starts with 'HPL', not with HPL1"), std::string::npos);
  EXPECT_NE(complaint("").find("the file is empty"), std::string::npos);
  EXPECT_NE(complaint(bytes("HPL1\x00\x00")).find("1 bytes follow the last entry"),
            std::string::npos);
  EXPECT_NE(complaint(bytes("HPL1\x01\x80\x80\x80\x80\x10\x00"))
                .find("region index out of range: 4294967296"),
            std::string::npos);
}

TEST(HotList, RefusesNumbersBeyond64BitsOrWithRedundantBytes) {
  const std::string entry = bytes("HPL1\x01\x00") + std::string(9, '\xff');
  EXPECT_EQ(decode_hot_list(entry + "\x01", "x").front().offset, UINT64_MAX);
  EXPECT_NE(complaint(entry + "\x02").find("malformed number"), std::string::npos);
  EXPECT_NE(complaint(entry + bytes("\x81\x00")).find("malformed number"), std::string::npos);
  EXPECT_NE(complaint(bytes("HPL1\x01\x00\x80\x00")).find("malformed number for an offset"),
            std::string::npos);
}

TEST(HotList, AHugeCountAllocatesNoMemory) {
  // 2^63 - 1 entries: reserving memory for them would throw another exception, or end the process.
  EXPECT_NE(complaint("HPL1" + std::string(8, '\xff') + bytes("\x7f\x00\x00")).find("only 2 bytes"),
            std::string::npos);
}

TEST(HotList, IsCheckedAgainstTheRegions) {
  const std::array<Region, 2> regions{
      Region{.size = 8192}, Region{.size = 2 * kHugePage, .offset = 8192, .page_size = kHugePage}};
  const std::array<HotPage, 3> good{HotPage{0, 0}, HotPage{0, 4096}, HotPage{1, kHugePage}};
  EXPECT_NO_THROW(check_hot_list(good, regions, "x.hpl"));
  const std::array<HotPage, 4> bad{HotPage{2, 0}, HotPage{0, 8192}, HotPage{0, 100},
                                   HotPage{1, 4096}};
  for (const HotPage& page : bad) {
    const std::array<HotPage, 2> list{HotPage{0, 0}, page};
    try {
      check_hot_list(list, regions, "x.hpl");
      ADD_FAILURE() << page.region << " " << page.offset;
    } catch (const base::Refused& error) {
      EXPECT_NE(std::string(error.what()).find("'x.hpl': entry 1 is region"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace hot
