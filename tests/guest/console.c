// SPDX-License-Identifier: Apache-2.0
// console.c: a 16550 at the address of COM1.
#include "console.h"

#include "machine.h"

enum { kData = 0x3f8, kLineStatus = 0x3fd, kReceived = 0x01, kTransmitterEmpty = 0x20 };

static void put_character(char character) {
  while (!(port_read(kLineStatus) & kTransmitterEmpty)) {
    relax();
  }
  port_write(kData, (uint8_t)character);
}

void put_text(const char* text) {
  for (; *text; text++) {
    put_character(*text);
  }
}

void put_number(uint64_t number) {
  char digits[21];
  char* first = digits + sizeof digits - 1;
  *first = 0;
  do {
    *--first = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  put_text(first);
}

void put_hex(uint64_t number) {
  for (int shift = 60; shift >= 0; shift -= 4) {
    put_character("0123456789abcdef"[number >> shift & 15]);
  }
}

int get_character(void) {
  return port_read(kLineStatus) & kReceived ? port_read(kData) : -1;
}
