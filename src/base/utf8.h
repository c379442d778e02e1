// SPDX-License-Identifier: Apache-2.0
// UTF-8, and which characters may reach a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace base {

// The length of the UTF-8 sequence at the start of `text`; 0 for an empty or invalid one (RFC 3629:
// no overlong forms, no surrogates, nothing above U+10FFFF).
size_t utf8_sequence(std::string_view text);
bool is_utf8(std::string_view text);
// The code point of one valid sequence.
uint32_t code_point(std::string_view sequence);

// Whether the sequence, one character, changes what a terminal shows beyond itself: a control
// character (C0, DEL, C1: U+009B begins a command like ESC [), a line separator, or one of the
// characters that reverse or isolate the direction of what follows.
bool is_control(std::string_view sequence);

// `text` with one '?' for each control character and for each byte that is not UTF-8: how a
// foreign name stands in a line for people.
std::string printable(std::string_view text);
bool is_printable(std::string_view text);

}  // namespace base
