// SPDX-License-Identifier: Apache-2.0
// virtio.h: virtio-mmio devices (version 2), one request at a time, polled.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { kVirtioDisk = 2, kVirtioBalloon = 5 };
enum { kDeviceReads = 0, kDeviceWrites = 2 };  // direction of a buffer

struct Buffer {
  const volatile void* start;
  uint32_t bytes;
  uint32_t direction;
};

struct VirtioDevice;

// Starts each device that the kernel command line announces, whatever its kind.
void virtio_start(const char* command_line);

// Prints the kinds of all devices in their order: "2,2,19".
void virtio_list(void);

// The nth device of a kind, or a null pointer.
struct VirtioDevice* virtio_find(uint32_t kind, uint64_t nth);

// A field of the device's configuration, by its offset there.
uint32_t virtio_config_read(const struct VirtioDevice* device, uint32_t offset);
void virtio_config_write(const struct VirtioDevice* device, uint32_t offset, uint32_t value);

// Hands a chain of at most 4 buffers to a queue. The next one may follow when virtio_is_done().
void virtio_submit(struct VirtioDevice* device, int queue, const struct Buffer* buffers, int count);
bool virtio_is_done(struct VirtioDevice* device, int queue);
