// SPDX-License-Identifier: Apache-2.0
// devices.h: what this guest does with a drive and with a balloon.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// One sector of the nth drive: writes `word` over and over, or reads (word is a null pointer).
// Prints "disk NTH SECTOR OK TEXT", TEXT being what a word of printable characters the sector
// begins with.
void disk_transfer(uint64_t nth, uint64_t sector, const char* word);

// Gives pages to the balloon or takes them back until it is as large as the host wants; prints
// "balloon PAGES OK checked=N" when it changed. Back from the balloon, pages have to be zero, and
// some are written at once. While `balloon_reads` is set, other pages are verified at the same
// time.
void balloon_follow(void);
extern bool balloon_reads;
