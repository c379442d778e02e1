// SPDX-License-Identifier: Apache-2.0
// Tests the HPL2 format: its vectors, properties of random lists, and every damage.
#include "hot/hpl2_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include "base/crc32.h"
#include "base/error.h"
#include "base/hex.h"
#include "base/little_endian.h"
#include "hot/hpl2_writer.h"
#include "hot/list_sets.h"

namespace hot {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 30U;
constexpr uint64_t kNoLimit = UINT64_MAX;

HotList empty_list(uint64_t memory_bytes) {
  return {.format = ListFormat::hpl2,
          .regions = {{.base = 0, .size = memory_bytes, .offset = 0}},
          .memory_bytes = memory_bytes};
}

std::string problem_of(const std::string& data, uint64_t most = kNoLimit) {
  return try_decode_hot_list(data, most).problem;
}

// Renews the length and the checksum of a changed list.
std::string sealed(std::string data) {
  data.resize(data.size() - 4);
  std::string size;
  base::append_little_endian(size, data.size() + 4, 8);
  data.replace(4, 8, size);
  base::append_little_endian(data, base::crc32(data), 4);
  return data;
}

// Different pages of one region, in random order.
HotList random_list(std::mt19937_64& random, uint64_t memory_bytes, uint64_t pages) {
  HotList list = empty_list(memory_bytes);
  std::vector<uint64_t> all(memory_bytes / kSmallPage);
  for (uint64_t i = 0; i < all.size(); ++i) {
    all[i] = i;
  }
  for (uint64_t i = 0; i < pages; ++i) {
    std::swap(all[i], all[i + random() % (all.size() - i)]);
    append_page(list, {.region = 0, .offset = all[i] * kSmallPage});
  }
  return list;
}

// The example of docs/hot-page-list.md.
HotList example() {
  HotList list{.format = ListFormat::hpl2,
               .runs = {{.region = 0, .count = 3, .offset = 16 * kSmallPage},
                        {.region = 1, .count = 1, .offset = 0},
                        {.region = 0, .count = 1, .offset = 0}},
               .regions = {{.base = 0, .size = 128 * kSmallPage, .offset = 0},
                           {.base = 0, .size = 64 * kSmallPage, .offset = 128 * kSmallPage}},
               .memory_bytes = 192 * kSmallPage,
               .digest = "d",
               .phases = {{.pages = 3, .name = ""}, {.pages = 2, .name = "ready"}},
               .weights = {{.pages = 4, .weight = 2}, {.pages = 1, .weight = 1}},
               .recordings = 2,
               .created = 1,
               .source = "s"};
  return list;
}

TEST(Hpl2, HasTheBytesOfTheExampleInTheSpecification) {
  std::string hex;
  for (const char byte : encode_hpl2(example())) {
    hex += base::hex_text(static_cast<unsigned char>(byte), 2);
  }
  EXPECT_EQ(hex,
            "48504c324b000000000000000112802080803002008080208080208080100164"
            "020c0003020103020120da018102030a02030002057265616479040602020402"
            "0101800301017330dbf1d8");
}

TEST(Hpl2, ReadsWhatItWrites) {
  EXPECT_EQ(read_hpl2(encode_hpl2(example()), kNoLimit), example());
  HotList inexact = empty_list(kGib);
  inexact.exact = false;
  EXPECT_EQ(read_hpl2(encode_hpl2(inexact), kNoLimit), inexact) << "a list without pages";
}

TEST(Hpl2, KeepsRandomListsInTheirOrder) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 50; ++round) {
    HotList list = random_list(random, 64 << 20U, random() % 2000);
    const uint64_t pages = count_pages(list.runs);
    if (pages > 10) {
      const uint64_t half = random() % pages;
      list.phases = {{.pages = half, .name = ""}, {.pages = pages - half, .name = "ready"}};
      list.recordings = 3;
      list.weights = {{.pages = 4, .weight = 3}, {.pages = pages - 4, .weight = 1}};
    }
    const HotList found = read_hpl2(encode_hpl2(list), kNoLimit);
    EXPECT_EQ(found, list) << round;
    EXPECT_EQ(expand(found.runs, kSmallPage), expand(list.runs, kSmallPage));
  }
}

TEST(Hpl2, JoinsAdjacentPages) {
  HotList single = empty_list(kGib);
  HotList joined = empty_list(kGib);
  for (uint64_t page = 100; page < 1100; ++page) {
    single.runs.push_back({.region = 0, .offset = page * kSmallPage});
  }
  joined.runs.push_back({.region = 0, .count = 1000, .offset = 100 * kSmallPage});
  EXPECT_EQ(encode_hpl2(single), encode_hpl2(joined));
  EXPECT_LT(encode_hpl2(joined).size(), 60U);
}

TEST(Hpl2, ScatteredPagesFitIntoThreeBytesEach) {
  std::mt19937_64 random(2);
  const auto size = [&](uint64_t gib_8ths) {
    HotList list = random_list(random, gib_8ths * kGib / 8, 20'000);
    list.phases = {{.pages = 5'000, .name = ""}, {.pages = 15'000, .name = "ready"}};
    return encode_hpl2(list).size();
  };
  EXPECT_LT(size(28), 60U << 10U) << "3.5 GiB";
  EXPECT_LT(size(64 * 8), 85U << 10U) << "64 GiB";
}

TEST(Hpl2, RefusesEveryTruncation) {
  const std::string whole = encode_hpl2(example());
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(problem_of(whole.substr(0, length)), "") << length;
    // With a new checksum, only a list without its optional sections is valid.
    if (length > 16) {
      const Decoded cut = try_decode_hot_list(sealed(whole.substr(0, length)));
      EXPECT_TRUE(!cut.problem.empty() || cut.list.runs == example().runs) << length;
    }
  }
  EXPECT_NE(problem_of(whole + '\0').find("bytes follow the list"), std::string::npos);
}

TEST(Hpl2, FindsEveryChangedBit) {
  const std::string whole = encode_hpl2(example());
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string changed = whole;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(problem_of(changed), "") << bit;
  }
}

TEST(Hpl2, SkipsUnknownOptionalSectionsAndRefusesOthers) {
  const std::string whole = encode_hpl2(example());
  const auto with = [&](char type) {
    std::string more = whole;
    more.insert(more.size() - 4, std::string{type, 3, 'a', 'b', 'c'});
    return sealed(more);
  };
  EXPECT_EQ(read_hpl2(with('\xf0'), kNoLimit), example());
  EXPECT_NE(problem_of(with('\x7f')).find("section 127 follows section 128"), std::string::npos);
  HotList plain = empty_list(kGib);
  std::string required = encode_hpl2(plain);
  required.insert(required.size() - 4, std::string{'\x7f', 0});
  EXPECT_NE(problem_of(sealed(required)).find("needs a newer program: section 127"),
            std::string::npos);
}

// A list with this body of its section of pages.
std::string with_pages(const std::string& body) {
  std::string data = encode_hpl2(empty_list(16 * kSmallPage));
  const std::string old{2, 3, 0, 0, 0};  // the section, its length, flags, runs, groups
  const size_t at = data.find(old, 12);
  EXPECT_NE(at, std::string::npos);
  return sealed(
      data.replace(at, old.size(), std::string{2, static_cast<char>(body.size())} + body));
}

TEST(Hpl2, RefusesHostileCountsAndPages) {
  // flags, runs, groups, then (runs, pages) of each group, then the starts.
  EXPECT_EQ(problem_of(with_pages({0, 1, 1, 1, 16, 0})), "");
  const std::array<std::pair<std::string, const char*>, 9> bad{{
      {{0, 2, 2, 1, 2, 1, 1, 0, 1}, "page 1 is listed twice"},
      {{0, 1, 1, 1, 17, 0}, "more than 16 pages"},
      {{0, 1, 1, 1, 2, 30}, "begins at page 15"},
      {{0, 1, 1, 1, 1, 1}, "begins at page 18446744073709551615"},
      {{0, 1, 1, 1, 0, 0}, "do not have 1 runs"},
      {{0, 2, 1, 1, 1, 0, 0}, "do not have 2 runs"},
      {{0, 1, 1, 1, 1, 0, 0}, "1 bytes follow in section 2"},
      {{2, 0, 0}, "needs a newer program: flags 2"},
      {{0, '\xff', '\xff', '\xff', '\x7f', 1, 1, 1}, "bytes follow for"},
  }};
  for (const auto& [body, why] : bad) {
    EXPECT_NE(problem_of(with_pages(body)).find(why), std::string::npos)
        << why << ": " << problem_of(with_pages(body));
  }
  EXPECT_NE(problem_of(with_pages({0, 1, 1, 1, 16, 0}), 15).find("more than 15 pages"),
            std::string::npos);
}

TEST(Hpl2, DoesNotWriteListsThatItWouldRefuse) {
  HotList twice = example();
  twice.runs.push_back(twice.runs.front());
  twice.phases.clear();
  twice.weights.clear();
  EXPECT_THROW(encode_hpl2(twice), base::BadData);
  HotList outside = example();
  outside.runs[1].offset = 64 * kSmallPage;
  EXPECT_THROW(encode_hpl2(outside), base::BadData);
  HotList uncovered = example();
  uncovered.phases.pop_back();
  EXPECT_THROW(encode_hpl2(uncovered), base::BadData);
  EXPECT_THROW(encode_hpl2(HotList{}), base::BadData) << "without regions";
}

TEST(Hpl2, ThreeMillionRunsAreReadCompletely) {
  HotList list = empty_list(64 * kGib);
  constexpr uint64_t kRuns = 3'000'000;
  for (uint64_t i = 0; i < kRuns; ++i) {  // every fifth page, in a mixed order
    list.runs.push_back({.region = 0,
                         .count = 1 + static_cast<uint32_t>(i % 2),
                         .offset = i * 7919 % kRuns * 5 * kSmallPage});
  }
  const std::string data = encode_hpl2(list);
  EXPECT_EQ(read_hpl2(data, kNoLimit).runs, list.runs);
}

TEST(ListIdentity, ComparesLengthDigestPageSizeAndRegions) {
  const HotList list = example();
  const ImageFacts same{.memory_bytes = list.memory_bytes, .digest = "d", .regions = list.regions};
  EXPECT_EQ(identity_problem(list, same), "");
  ImageFacts image = same;
  image.digest = "";
  EXPECT_EQ(identity_problem(list, image), "") << "an unknown digest is not compared";
  image.digest = "e";
  EXPECT_NE(identity_problem(list, image).find("another image of this size"), std::string::npos);
  image = same;
  image.memory_bytes += kSmallPage;
  EXPECT_NE(identity_problem(list, image).find("an image of"), std::string::npos);
  image = same;
  image.page_size = kHugePage;
  EXPECT_NE(identity_problem(list, image).find("pages of 4096"), std::string::npos);
  image = same;
  std::swap(image.regions[0], image.regions[1]);
  EXPECT_NE(identity_problem(list, image).find("other regions"), std::string::npos);
}

}  // namespace
}  // namespace hot
