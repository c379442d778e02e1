// SPDX-License-Identifier: Apache-2.0
// Parses integers in text: of the command line, of requests, and of /proc.
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

// Returns the integer at the beginning of `text` and removes it from there. Returns nothing, and
// leaves `text` as it is, if there is none or if it does not fit into the type.
template <typename Integer>
std::optional<Integer> take_number(std::string_view& text, int radix = 10) {
  Integer value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, radix);
  if (error != std::errc()) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<size_t>(stop - text.data()));
  return value;
}

}  // namespace base
