// SPDX-License-Identifier: Apache-2.0
// UTF-8, and the characters that may reach a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace base {

// Returns the length of the UTF-8 sequence at the start of `text`; 0 if it is empty or invalid (RFC
// 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
size_t utf8_sequence(std::string_view text);
bool is_utf8(std::string_view text);
// Returns the code point of one valid sequence.
uint32_t code_point(std::string_view sequence);

// Returns whether the sequence, which is one character, affects a terminal beyond its own cell: a
// control character (C0, DEL, C1: U+009B begins a command like ESC [), a line separator, or a
// character that reverses or isolates the direction of the following text.
bool is_control(std::string_view sequence);

// Returns `text` with one '?' for each control character and for each byte that is not UTF-8: the
// form of a foreign name in a message.
std::string printable(std::string_view text);
bool is_printable(std::string_view text);

}  // namespace base
