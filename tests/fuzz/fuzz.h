// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share: an input is accepted or refused, and nothing else may happen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace fuzz {

// A promise that must hold for every input: abort is what libFuzzer reports with the input.
#define FUZZ_REQUIRE(condition) \
  ((condition) ? void() : ::fuzz::broken_promise(#condition, __FILE__, __LINE__))
[[noreturn]] inline void broken_promise(const char* condition, const char* file, int line) {
  static_cast<void>(std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition));
  std::abort();
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Whether `parse` accepts: bad input is refused by a base::Error. Anything else that is thrown goes
// up and ends the target.
template <typename Parse>
bool accepts(const Parse& parse) {
  try {
    parse();
    return true;
  } catch (const base::Error&) {
    return false;
  }
}

}  // namespace fuzz

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
