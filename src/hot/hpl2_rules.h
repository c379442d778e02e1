// SPDX-License-Identifier: Apache-2.0
// HPL2, the file format of hot lists that name their image (docs/hot-page-list.md): its constants,
// and the rules that its writer (hpl2_writer.h) and its reader (hpl2_reader.h) both check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "hot/hot_list.h"

namespace hot {

inline constexpr std::string_view kHpl2Magic = "HPL2";

inline constexpr size_t kHpl2SizeBytes = 8;  // of the length of the file, after the magic
inline constexpr size_t kHpl2CrcBytes = 4;
inline constexpr size_t kHpl2MostTextBytes = 4096;

// A reader skips an unknown section if this bit is set in its type, and refuses the list if not.
inline constexpr unsigned kHpl2Optional = 0x80;
enum class Hpl2Section : uint8_t { image = 1, pages = 2, phases = 3, weights = 4, creation = 0x80 };

inline constexpr uint64_t kHpl2NotExact = 1;  // the only flag of the section of pages

// Throws base::BadData.
[[noreturn]] void refuse_hpl2(const std::string& why);

// Each throws base::BadData with the rule that the list breaks.
void check_hpl2_layout(const HotList& list);
void check_hpl2_text(std::string_view text, std::string_view what);
// Phases and weights cover the pages, of which there are `pages`.
void check_hpl2_parts(const HotList& list, uint64_t pages);
// No page occurs twice. The runs must fit list.regions.
void check_hpl2_overlap(const HotList& list);

}  // namespace hot
