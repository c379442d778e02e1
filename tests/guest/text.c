// SPDX-License-Identifier: Apache-2.0
// text.c: the few string functions that a program without a library needs.
#include "text.h"

static const char* after_prefix(const char* text, const char* prefix) {
  while (*prefix && *text == *prefix) {
    text++;
    prefix++;
  }
  return *prefix ? 0 : text;
}

const char* find_text(const char* text, const char* part) {
  for (; *text; text++) {
    const char* rest = after_prefix(text, part);
    if (rest) {
      return rest;
    }
  }
  return 0;
}

bool same_text(const char* a, const char* b) {
  const char* rest = after_prefix(a, b);
  return rest && *rest == 0;
}

uint64_t parse_number(const char** text) {
  uint64_t number = 0;
  for (; **text >= '0' && **text <= '9'; ++*text) {
    number = number * 10 + (uint64_t)(**text - '0');
  }
  return number;
}

uint64_t parse_hex(const char** text) {
  uint64_t number = 0;
  for (;; ++*text) {
    char digit = **text;
    if (digit >= '0' && digit <= '9') {
      number = number * 16 + (uint64_t)(digit - '0');
    } else if (digit >= 'a' && digit <= 'f') {
      number = number * 16 + (uint64_t)(digit - 'a' + 10);
    } else {
      return number;
    }
  }
}

char* cut_word(char** line) {
  char* word = *line;
  while (*word == ' ') {
    word++;
  }
  char* end = word;
  while (*end && *end != ' ') {
    end++;
  }
  *line = *end ? end + 1 : end;
  *end = 0;
  return word;
}
