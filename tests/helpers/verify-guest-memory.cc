// SPDX-License-Identifier: Apache-2.0
// Verifies a memory file of the test guest (tests/fixtures, "Page contents").
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "pager/probe/memory.h"
#include "pager/probe/random.h"

namespace {

// Constants of the guest: it fills pages from 32 MiB on. The generations are at 18 MiB, 16 bits for
// each page of memory; 0 is a zero page, 65535 a page in the balloon.
constexpr uint64_t kFirstPage = (uint64_t{32} << 20U) / hot::kSmallPage;
constexpr uint64_t kGenerations = uint64_t{18} << 20U;
constexpr uint16_t kZero = 0;
constexpr uint16_t kInBalloon = 65535;
constexpr size_t kWords = hot::kSmallPage / sizeof(uint64_t);

std::array<uint64_t, kWords> contents(uint64_t seed, uint64_t page, uint16_t generation) {
  std::array<uint64_t, kWords> words{};
  if (generation == kZero) {
    return words;
  }
  const uint64_t key = pager::mix(seed ^ pager::mix(page << 16U | generation));
  for (uint64_t i = 0; i < kWords; ++i) {
    words[i] = (i & 32U) != 0 ? (i & 31U) * 0x0101010101010101U : key + (i >> 6U);
  }
  return words;
}

int verify(const std::string& path, uint64_t seed) {
  const pager::MemoryFile file(path, hot::kSmallPage);
  if (file.pages() <= kFirstPage) {
    throw base::BadData("cannot verify " + base::quoted(path) + ": the file ends before 32 MiB");
  }
  std::vector<uint16_t> generations(file.pages());
  file.read(kGenerations, std::as_writable_bytes(std::span(generations)));
  uint64_t zero = 0;
  uint64_t gone = 0;
  uint64_t wrong = 0;
  std::array<std::byte, hot::kSmallPage> found{};
  for (uint64_t page = kFirstPage; page < file.pages(); ++page) {
    const uint16_t generation = generations[page];
    if (generation == kInBalloon) {
      ++gone;
      continue;
    }
    zero += generation == kZero ? 1 : 0;
    file.read_page(static_cast<pager::PageNumber>(page), found);
    const std::array<uint64_t, kWords> expected = contents(seed, page, generation);
    if (std::memcmp(found.data(), expected.data(), found.size()) != 0) {
      ++wrong;
      base::say_error("page " + std::to_string(page) + " of " + base::quoted(path) + " is wrong");
    }
  }
  base::write_line_out("pages=" + std::to_string(file.pages() - kFirstPage) +
                       " zero=" + std::to_string(zero) + " gone=" + std::to_string(gone) +
                       " wrong=" + std::to_string(wrong));
  if (zero + gone == file.pages() - kFirstPage) {
    throw base::BadData("cannot verify " + base::quoted(path) + ": the guest has filled no page");
  }
  return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("verify-guest-memory", argc, argv, [](int count, char** words) {
    base::Options options("verify-guest-memory", "[--seed N] FILE",
                          "Verify a memory file of the test guest against its formula.");
    options.value("seed", "N", "the guest's native.seed (default 1)");
    const std::optional<base::ParsedOptions> parsed = options.parse(count, words);
    if (!parsed) {
      return 0;
    }
    parsed->require_operands(1, 1, "FILE");
    constexpr int64_t kMost = int64_t{1} << 62U;
    return verify(parsed->operands()[0],
                  static_cast<uint64_t>(parsed->number("seed", 0, kMost, 1)));
  });
}
