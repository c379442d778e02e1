// SPDX-License-Identifier: Apache-2.0
// memory.h: the pages whose contents this guest can verify.
//
// Every n-th page from 32 MiB to the end of memory is one of them, numbered from 0 in the order of
// the memory file of a snapshot. The contents of a page follow from the seed, its place and its
// version, so a page of another place, of an earlier moment or of another image is found.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "machine.h"

enum { kPageBytes = 4096 };

struct Census {
  uint64_t zero;       // pages that have to be zero
  uint64_t ballooned;  // pages that the host has: not read
  uint64_t bad;
  uint64_t digest;  // of the contents found
};

// Fills memory: each `every`-th page, but for about `zero_percent` of them, which are never
// touched.
void memory_start(const struct BootParams* params, uint64_t seed, uint64_t every,
                  uint64_t zero_percent);

uint64_t page_count(void);
uint64_t page_address(uint64_t page);

// True when the contents of `page` are right; they are added to *digest. A ballooned page is not
// read.
bool page_is_right(uint64_t page, uint64_t* digest);

// Gives `page` other contents. It must not be in the balloon.
void page_rewrite(uint64_t page);
bool page_is_ballooned(uint64_t page);

// The host may discard the page from now on; and: the guest has it again, and it must be zero.
void page_give(uint64_t page);
void page_take_back(uint64_t page);

// Verifies every page.
struct Census memory_census(void);

// A good 64-bit mixing function (the finalizer of MurmurHash3).
uint64_t scramble(uint64_t x);
