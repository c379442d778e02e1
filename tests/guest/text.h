// SPDX-License-Identifier: Apache-2.0
// text.h: reading the kernel command line and the lines that come over the serial line.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// The text behind the first occurrence of `part` in `text`, or a null pointer.
const char* find_text(const char* text, const char* part);

bool same_text(const char* a, const char* b);

// Each reads a number at *text and moves *text past it; 0 if there is none.
uint64_t parse_number(const char** text);
uint64_t parse_hex(const char** text);

// Cuts the first word off *line and ends it with a zero byte; an empty string if there is none.
char* cut_word(char** line);
