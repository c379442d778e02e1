// SPDX-License-Identifier: Apache-2.0
// disk.c: sectors of virtio block devices.
#include "console.h"
#include "devices.h"
#include "machine.h"
#include "virtio.h"

enum { kRead = 0, kWrite = 1, kSectorBytes = 512, kShownBytes = 40, kNotAnswered = 255 };

static struct {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
} header;
static char data[kSectorBytes];
static volatile uint8_t status;

static void fill_sector(const char* word) {
  const char* next = word;
  for (int i = 0; i < kSectorBytes; i++) {
    data[i] = *next ? *next++ : ' ';
    if (data[i] == ' ') {
      next = word;
    }
  }
}

static void put_first_word(void) {
  char shown[kShownBytes + 1];
  int length = 0;
  while (length < kShownBytes && data[length] > ' ' && data[length] <= '~') {
    shown[length] = data[length];
    length++;
  }
  shown[length] = 0;
  put_text(shown);
}

void disk_transfer(uint64_t nth, uint64_t sector, const char* word) {
  struct VirtioDevice* disk = virtio_find(kVirtioDisk, nth);
  if (!disk) {
    put_text("disk BAD: there is no such drive\n");
    return;
  }
  if (word) {
    fill_sector(word);
  }
  header.type = word ? kWrite : kRead;
  header.sector = sector;
  status = kNotAnswered;
  const struct Buffer buffers[] = {
      {&header, sizeof header, kDeviceReads},
      {data, sizeof data, word ? kDeviceReads : kDeviceWrites},
      {&status, sizeof status, kDeviceWrites},
  };
  virtio_submit(disk, 0, buffers, 3);
  while (!virtio_is_done(disk, 0)) {
    relax();
  }
  put_text("disk ");
  put_number(nth);
  put_text(" ");
  put_number(sector);
  if (status == 0) {
    put_text(" OK ");
    put_first_word();
  } else {
    put_text(" BAD status ");
    put_number(status);
  }
  put_text("\n");
}
