// SPDX-License-Identifier: Apache-2.0
// memory.c: a version for each page determines its contents. The versions are in guest memory, too:
// if one of their pages is wrong after a restore, the check of the pages that it describes fails.
#include "memory.h"

// Below kFirstPage are Firecracker's boot data and this program.
enum { kFirstPage = (32 << 20) / kPageBytes, kMaxPages = 1 << 20 };
enum { kZeroGroup = 64, kZeroAlone = 256 };
enum { kVersionZero = 0, kVersionBallooned = 0xffff, kVersionLast = 0xfffe };

static const uint64_t kHighPage = (4ULL << 30) / kPageBytes;  // RAM above the devices
static const uint64_t kMappedPages = (8ULL << 30) / kPageBytes;

static uint16_t versions[kMaxPages];
static uint64_t count;
static uint64_t step;
static uint64_t low_pages;
static uint64_t memory_seed;

uint64_t scramble(uint64_t x) {
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdULL;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ x >> 33;
}

// The words of a page are a linear congruential sequence from a start that no other page has.
static uint64_t first_word(uint64_t page, uint16_t version) {
  return scramble(scramble(memory_seed ^ page << 16) + version);
}

static uint64_t next_word(uint64_t word) {
  return word * 6364136223846793005ULL + 1442695040888963407ULL;
}

uint64_t page_count(void) {
  return count;
}

uint64_t page_address(uint64_t page) {
  uint64_t in_file = kFirstPage + page * step;
  return (in_file < low_pages ? in_file : in_file - low_pages + kHighPage) * kPageBytes;
}

static void page_write(uint64_t page, uint16_t version) {
  uint64_t* words = (uint64_t*)page_address(page);
  uint64_t word = first_word(page, version);
  for (int i = 0; i < kPageBytes / 8; i++) {
    words[i] = word;
    word = next_word(word);
  }
  versions[page] = version;
}

bool page_is_right(uint64_t page, uint64_t* digest) {
  uint16_t version = versions[page];
  if (version == kVersionBallooned) {
    return true;
  }
  const volatile uint64_t* words = (const uint64_t*)page_address(page);
  uint64_t expected = version == kVersionZero ? 0 : first_word(page, version);
  uint64_t differences = 0;
  uint64_t sum = 0;
  for (int i = 0; i < kPageBytes / 8; i++) {
    uint64_t found = words[i];
    differences |= found ^ expected;
    sum = sum * 31 + found;
    expected = version == kVersionZero ? 0 : next_word(expected);
  }
  *digest = scramble(*digest ^ sum) + page;
  return differences == 0;
}

void page_rewrite(uint64_t page) {
  page_write(page, versions[page] == kVersionLast ? 1 : (uint16_t)(versions[page] + 1));
}

bool page_is_ballooned(uint64_t page) {
  return versions[page] == kVersionBallooned;
}

void page_give(uint64_t page) {
  versions[page] = kVersionBallooned;
}

void page_take_back(uint64_t page) {
  versions[page] = kVersionZero;
}

struct Census memory_census(void) {
  struct Census census = {0, 0, 0, 0};
  for (uint64_t page = 0; page < count; page++) {
    census.zero += versions[page] == kVersionZero;
    census.ballooned += page_is_ballooned(page);
    census.bad += !page_is_right(page, &census.digest);
  }
  return census;
}

// Mostly whole groups, as in a guest with an operating system, and a few pages alone.
static bool starts_as_zero(uint64_t page, uint64_t zero_percent) {
  if (page % kZeroAlone == kZeroAlone - 1) {
    return zero_percent > 0;
  }
  return scramble(~memory_seed + page / kZeroGroup) % 100 < zero_percent;
}

void memory_start(const struct BootParams* params, uint64_t seed, uint64_t every,
                  uint64_t zero_percent) {
  uint64_t high_end = kHighPage;
  for (int i = 0; i < params->e820_count; i++) {
    struct E820Entry entry = params->e820[i];
    uint64_t end = (entry.address + entry.size) / kPageBytes;
    if (entry.type != 1) {
      continue;
    }
    if (end <= kHighPage && end > low_pages) {
      low_pages = end;
    }
    if (end > high_end) {
      high_end = end < kMappedPages ? end : kMappedPages;
    }
  }
  memory_seed = seed;
  step = every ? every : 1;
  count = (low_pages + high_end - kHighPage - kFirstPage + step - 1) / step;
  count = count < kMaxPages ? count : kMaxPages;
  for (uint64_t page = 0; page < count; page++) {
    if (!starts_as_zero(page, zero_percent)) {
      page_write(page, 1);
    }
  }
}
