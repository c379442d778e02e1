// SPDX-License-Identifier: Apache-2.0
// devices.h: the operations of this guest on a drive and on a balloon.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// One sector of the nth drive: writes `word` over and over, or reads (word is a null pointer).
// Prints "disk NTH SECTOR OK TEXT", where TEXT is the word of printable characters at the begin of
// the sector.
void disk_transfer(uint64_t nth, uint64_t sector, const char* word);

// Adds pages to the balloon or removes them until it has the size that the host wants; prints
// "balloon PAGES OK checked=N" if it changed. Pages from the balloon must be zero, and some are
// written at once. While `balloon_reads` is set, other pages are verified at the same
// time.
void balloon_follow(void);
extern bool balloon_reads;
