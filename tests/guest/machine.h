// SPDX-License-Identifier: Apache-2.0
// machine.h: ports, device registers and boot parameters of the virtual machine.
#pragma once

#include <stdint.h>

static inline void port_write(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t port_read(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

// Device registers: one plain move each, which is what a hypervisor can decode.
static inline uint32_t device_read(uint64_t address) {
  uint32_t value;
  __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline void device_write(uint64_t address, uint32_t value) {
  __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void relax(void) {
  __asm__ volatile("pause" : : : "memory");
}

struct E820Entry {
  uint64_t address;
  uint64_t size;
  uint32_t type;  // 1: usable
} __attribute__((packed));

// Linux' struct boot_params ("zero page"), as far as it is used here.
struct BootParams {
  uint8_t unused_1[0x1e8];
  uint8_t e820_count;
  uint8_t unused_2[0x228 - 0x1e9];
  uint32_t command_line;  // its address
  uint8_t unused_3[0x2d0 - 0x22c];
  struct E820Entry e820[128];
} __attribute__((packed));
