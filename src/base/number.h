// SPDX-License-Identifier: Apache-2.0
// Parses a string that is a number and nothing else.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace base {

// Returns the decimal integer that is the whole of `text`; nothing for any other text (a sign "+",
// blanks, trailing characters) or if the number does not fit into the type.
template <typename Integer>
std::optional<Integer> parse_number(std::string_view text) {
  Integer value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

}  // namespace base
