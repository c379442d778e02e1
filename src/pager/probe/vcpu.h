// SPDX-License-Identifier: Apache-2.0
// Real vCPUs over the memory of a probe's VMM: what they miss comes through KVM, as a guest's does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "pager/probe/memory.h"

namespace pager {

// Throws base::Unsupported, saying why, where this machine or user has no KVM for 64-bit guests.
void require_kvm();

// A guest of its own for each probe: its physical memory is the VMM's, behind some pages of ours
// with its code. Each vCPU is used by one thread at a time. x86-64 only.
class Vcpus {
 public:
  // Both must outlive it. Throws base::Unsupported, or std::system_error.
  Vcpus(const GuestMemory& memory, const MemoryFile& file, size_t count);
  Vcpus(Vcpus&&) = delete;
  Vcpus& operator=(Vcpus&&) = delete;
  Vcpus(const Vcpus&) = delete;
  Vcpus& operator=(const Vcpus&) = delete;
  ~Vcpus();

  // One instruction of the guest's that reads or writes byte `at` of a page. A poisoned page is
  // SIGBUS, as for a load of ours. Throws base::Error when the guest stops for a reason of its own.
  void load(size_t vcpu, PageNumber page, size_t at);
  void store(size_t vcpu, PageNumber page, size_t at, std::byte value);
  // kLine bytes from byte `at` of a page, as the guest sees them: it copies them. No more, because
  // where KVM itself runs in a guest without hardware to help, each 8 bytes take microseconds.
  static constexpr size_t kLine = 64;
  std::span<const std::byte> see(size_t vcpu, PageNumber page, size_t at);

 private:
  struct Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace pager
