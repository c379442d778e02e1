// SPDX-License-Identifier: Apache-2.0
// virtio.c: the split queues of virtio 1.0 over memory-mapped registers. Interrupts are off for
// good, so completion is seen in the used ring only.
#include "virtio.h"

#include "console.h"
#include "machine.h"
#include "text.h"

enum { kMaxDevices = 8, kMaxQueues = 4, kQueueSize = 8 };

enum Register {
  kMagic = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kDriverFeatures = 0x020,
  kDriverFeaturesPage = 0x024,
  kQueueSelect = 0x030,
  kQueueMax = 0x034,
  kQueueLength = 0x038,
  kQueueReady = 0x044,
  kQueueNotify = 0x050,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescriptors = 0x080,
  kQueueAvailable = 0x090,
  kQueueUsed = 0x0a0,
  kConfig = 0x100,
};
enum { kMagicValue = 0x74726976, kAcknowledge = 1, kDriver = 2, kFeaturesOk = 8, kDriverOk = 4 };
enum { kFeatureVersion1 = 1 };  // bit 32: bit 0 of page 1
enum { kDescriptorNext = 1 };

struct Descriptor {
  uint64_t address;
  uint32_t bytes;
  uint16_t flags;
  uint16_t next;
};

struct Available {
  uint16_t flags;
  uint16_t index;
  uint16_t ring[kQueueSize];
};

struct Used {
  uint16_t flags;
  uint16_t index;
  struct {
    uint32_t id;
    uint32_t bytes;
  } ring[kQueueSize];
};

struct Queue {
  struct Descriptor descriptors[kQueueSize] __attribute__((aligned(16)));
  struct Available available;
  struct Used used __attribute__((aligned(4)));
};

struct VirtioDevice {
  uint64_t registers;
  uint32_t kind;
  struct Queue queues[kMaxQueues];
};

static struct VirtioDevice devices[kMaxDevices];
static int device_count;

static void set_address(uint64_t low_register, const volatile void* pointer) {
  device_write(low_register, (uint32_t)(uint64_t)pointer);
  device_write(low_register + 4, (uint32_t)((uint64_t)pointer >> 32));
}

static void start_queues(struct VirtioDevice* device) {
  uint64_t at = device->registers;
  for (uint32_t i = 0; i < kMaxQueues; i++) {
    device_write(at + kQueueSelect, i);
    if (device_read(at + kQueueMax) < kQueueSize) {
      return;
    }
    device_write(at + kQueueLength, kQueueSize);
    set_address(at + kQueueDescriptors, device->queues[i].descriptors);
    set_address(at + kQueueAvailable, &device->queues[i].available);
    set_address(at + kQueueUsed, &device->queues[i].used);
    device_write(at + kQueueReady, 1);
  }
}

static void start_device(uint64_t at) {
  if (device_count == kMaxDevices || device_read(at + kMagic) != kMagicValue ||
      device_read(at + kVersion) != 2 || device_read(at + kDeviceId) == 0) {
    return;
  }
  struct VirtioDevice* device = &devices[device_count++];
  device->registers = at;
  device->kind = device_read(at + kDeviceId);
  device_write(at + kStatus, 0);
  device_write(at + kStatus, kAcknowledge);
  device_write(at + kStatus, kAcknowledge | kDriver);
  device_write(at + kDriverFeaturesPage, 1);
  device_write(at + kDriverFeatures, kFeatureVersion1);
  device_write(at + kStatus, kAcknowledge | kDriver | kFeaturesOk);
  start_queues(device);
  device_write(at + kStatus, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
}

void virtio_start(const char* command_line) {
  const char* rest = command_line;
  while ((rest = find_text(rest, "virtio_mmio.device=4K@0x"))) {
    start_device(parse_hex(&rest));
  }
}

void virtio_list(void) {
  for (int i = 0; i < device_count; i++) {
    put_text(i ? "," : "");
    put_number(devices[i].kind);
  }
}

struct VirtioDevice* virtio_find(uint32_t kind, uint64_t nth) {
  for (int i = 0; i < device_count; i++) {
    if (devices[i].kind == kind && nth-- == 0) {
      return &devices[i];
    }
  }
  return 0;
}

uint32_t virtio_config_read(const struct VirtioDevice* device, uint32_t offset) {
  return device_read(device->registers + kConfig + offset);
}

void virtio_config_write(const struct VirtioDevice* device, uint32_t offset, uint32_t value) {
  device_write(device->registers + kConfig + offset, value);
}

void virtio_submit(struct VirtioDevice* device, int queue, const struct Buffer* buffers,
                   int count) {
  struct Queue* q = &device->queues[queue];
  for (int i = 0; i < count; i++) {
    q->descriptors[i].address = (uint64_t)buffers[i].start;
    q->descriptors[i].bytes = buffers[i].bytes;
    q->descriptors[i].flags =
        (uint16_t)(buffers[i].direction | (i + 1 < count ? kDescriptorNext : 0));
    q->descriptors[i].next = (uint16_t)(i + 1);
  }
  uint16_t index = q->available.index;
  q->available.ring[index % kQueueSize] = 0;
  __atomic_store_n(&q->available.index, (uint16_t)(index + 1), __ATOMIC_SEQ_CST);
  device_write(device->registers + kQueueNotify, (uint32_t)queue);
}

bool virtio_is_done(struct VirtioDevice* device, int queue) {
  struct Queue* q = &device->queues[queue];
  if (__atomic_load_n(&q->used.index, __ATOMIC_SEQ_CST) != q->available.index) {
    return false;
  }
  uint64_t at = device->registers;
  device_write(at + kInterruptAck, device_read(at + kInterruptStatus));
  return true;
}
