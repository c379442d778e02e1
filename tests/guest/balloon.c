// SPDX-License-Identifier: Apache-2.0
// balloon.c: gives the host up to half of the verified pages.
//
// Of each 64 pages the balloon takes 32: a run in every other group, each second page in the
// others, so the host sees long and short removals beside pages that stay. Groups are taken in an
// order that jumps through memory. The balloon releases the pages that it took last, so its size
// determines which pages are in it.
#include "console.h"
#include "devices.h"
#include "machine.h"
#include "memory.h"
#include "virtio.h"

enum { kInflateQueue = 0, kDeflateQueue = 1, kTarget = 0, kActual = 4 };
enum { kGroup = 64, kTaken = kGroup / 2, kBatch = 256, kJump = 1009 /* a prime */ };

bool balloon_reads;

static uint64_t held;
static uint32_t frames[kBatch];

static uint64_t groups(void) {
  uint64_t all = page_count() / kGroup;
  return all % kJump ? all : all - 1;  // no common factor, so that each group is met once
}

static uint64_t page_of(uint64_t nth) {
  uint64_t group = nth / kTaken * kJump % groups();
  uint64_t place = nth % kTaken;
  return group * kGroup + (group % 2 ? place : place * 2);
}

struct Checks {
  uint64_t cursor;
  uint64_t done;
  uint64_t bad;
};

static void wait_for(struct VirtioDevice* balloon, int queue, struct Checks* checks) {
  uint64_t digest = 0;
  while (!virtio_is_done(balloon, queue)) {
    if (!balloon_reads) {
      relax();
      continue;
    }
    checks->cursor = (checks->cursor + kJump) % page_count();
    if (!page_is_ballooned(checks->cursor)) {
      checks->bad += !page_is_right(checks->cursor, &digest);
      checks->done++;
    }
  }
}

static uint64_t smaller(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static void inflate(struct VirtioDevice* balloon, uint64_t pages, struct Checks* checks) {
  for (uint64_t i = 0; i < pages; i++) {
    uint64_t page = page_of(held + i);
    page_give(page);
    frames[i] = (uint32_t)(page_address(page) / kPageBytes);
  }
  const struct Buffer buffer = {frames, (uint32_t)(pages * sizeof *frames), kDeviceReads};
  virtio_submit(balloon, kInflateQueue, &buffer, 1);
  wait_for(balloon, kInflateQueue, checks);
  held += pages;
}

static void deflate(struct VirtioDevice* balloon, uint64_t pages, struct Checks* checks) {
  held -= pages;
  for (uint64_t i = 0; i < pages; i++) {
    frames[i] = (uint32_t)(page_address(page_of(held + i)) / kPageBytes);
  }
  const struct Buffer buffer = {frames, (uint32_t)(pages * sizeof *frames), kDeviceReads};
  virtio_submit(balloon, kDeflateQueue, &buffer, 1);
  wait_for(balloon, kDeflateQueue, checks);
  for (uint64_t i = 0; i < pages; i++) {
    uint64_t page = page_of(held + i);
    page_take_back(page);
    if (i % 4 == 0) {
      page_rewrite(page);
    }
  }
}

void balloon_follow(void) {
  struct VirtioDevice* balloon = virtio_find(kVirtioBalloon, 0);
  if (!balloon) {
    return;
  }
  uint64_t target = smaller(virtio_config_read(balloon, kTarget), groups() * kTaken);
  if (target == held) {
    return;
  }
  struct Checks checks = {held, 0, 0};
  while (held != target) {
    if (held < target) {
      inflate(balloon, smaller(target - held, kBatch), &checks);
    } else {
      deflate(balloon, smaller(held - target, kBatch), &checks);
    }
    virtio_config_write(balloon, kActual, (uint32_t)held);
  }
  put_text("balloon ");
  put_number(held);
  put_text(checks.bad ? " BAD checked=" : " OK checked=");
  put_number(checks.done);
  put_text("\n");
}
