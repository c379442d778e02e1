// SPDX-License-Identifier: Apache-2.0
// guest.c: a guest without an operating system that can verify every page of its memory.
//
// Settings on the kernel command line: guest.seed=N, guest.every=N (verify each N-th page only: for
// large memories), guest.zero=PERCENT (pages that stay untouched). When memory is filled it prints
// "READY pages=N devices=KIND,...", then answers lines on the serial line:
//
//   ping                       pong
//   sum                        sum OK|BAD pages=N zero=N ballooned=N bad=N DIGEST
//   look SEED N                look SEED OK|BAD DIGEST: N pages verified
//   work SEED N                work SEED OK|BAD DIGEST: the same, about half of them rewritten
//   disk NTH read SECTOR       disk NTH SECTOR OK|BAD TEXT
//   disk NTH write SECTOR WORD the same
//   reads on|off               reads on|off: verify other pages while the balloon moves
//
// It polls and never sleeps: a running guest takes a whole CPU.
#include "console.h"
#include "devices.h"
#include "machine.h"
#include "memory.h"
#include "text.h"
#include "virtio.h"

void guest_main(const struct BootParams* params);

static uint64_t number_of(const char* word) {
  return parse_number(&word);
}

static void answer_sum(void) {
  struct Census census = memory_census();
  put_text(census.bad ? "sum BAD pages=" : "sum OK pages=");
  put_number(page_count());
  put_text(" zero=");
  put_number(census.zero);
  put_text(" ballooned=");
  put_number(census.ballooned);
  put_text(" bad=");
  put_number(census.bad);
  put_text(" ");
  put_hex(census.digest);
  put_text("\n");
}

static void answer_work(uint64_t seed, uint64_t steps, bool rewrite) {
  uint64_t digest = 0;
  uint64_t bad = 0;
  uint64_t random = scramble(seed + 1);
  for (uint64_t i = 0; i < steps; i++) {
    random = scramble(random + i);
    uint64_t page = (random >> 1) % page_count();
    bad += !page_is_right(page, &digest);
    if (rewrite && random % 2 && !page_is_ballooned(page)) {
      page_rewrite(page);
    }
  }
  put_text(rewrite ? "work " : "look ");
  put_number(seed);
  put_text(bad ? " BAD " : " OK ");
  put_hex(digest);
  put_text("\n");
}

static void answer_disk(char* rest) {
  uint64_t nth = number_of(cut_word(&rest));
  const char* verb = cut_word(&rest);
  uint64_t sector = number_of(cut_word(&rest));
  const char* word = cut_word(&rest);
  disk_transfer(nth, sector, same_text(verb, "write") ? word : 0);
}

static void answer(char* line) {
  const char* verb = cut_word(&line);
  if (same_text(verb, "ping")) {
    put_text("pong\n");
  } else if (same_text(verb, "sum")) {
    answer_sum();
  } else if (same_text(verb, "work") || same_text(verb, "look")) {
    uint64_t seed = number_of(cut_word(&line));
    answer_work(seed, number_of(cut_word(&line)), same_text(verb, "work"));
  } else if (same_text(verb, "disk")) {
    answer_disk(line);
  } else if (same_text(verb, "reads")) {
    balloon_reads = same_text(cut_word(&line), "on");
    put_text(balloon_reads ? "reads on\n" : "reads off\n");
  } else {
    put_text("BAD command\n");
  }
}

static uint64_t setting(const char* command_line, const char* name, uint64_t otherwise) {
  const char* value = find_text(command_line, name);
  return value ? parse_number(&value) : otherwise;
}

// Reads what has been received; true when *length characters in `line` are a whole line.
static bool receive_line(char* line, int size, int* length) {
  for (int character; (character = get_character()) >= 0;) {
    if (character == '\n') {
      line[*length] = 0;
      *length = 0;
      return true;
    }
    if (*length + 1 < size) {
      line[(*length)++] = (char)character;
    }
  }
  return false;
}

void guest_main(const struct BootParams* params) {
  const char* command_line = (const char*)(uint64_t)params->command_line;
  virtio_start(command_line);
  memory_start(params, setting(command_line, "guest.seed=", 1),
               setting(command_line, "guest.every=", 1), setting(command_line, "guest.zero=", 0));
  put_text("READY pages=");
  put_number(page_count());
  put_text(" devices=");
  virtio_list();
  put_text("\n");

  static char line[128];
  int length = 0;
  for (;;) {
    if (receive_line(line, sizeof line, &length)) {
      answer(line);
    }
    balloon_follow();
    for (int i = 0; i < 200; i++) {
      relax();
    }
  }
}
