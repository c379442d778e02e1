// SPDX-License-Identifier: Apache-2.0
// console.h: the serial line, polled.
#pragma once

#include <stdint.h>

void put_text(const char* text);
void put_number(uint64_t number);
void put_hex(uint64_t number);  // 16 digits

// The next character that was received, or -1 when there is none now.
int get_character(void);
