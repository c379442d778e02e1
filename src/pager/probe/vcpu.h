// SPDX-License-Identifier: Apache-2.0
// Real vCPUs on the memory of a probe's VMM, so that page faults come through KVM.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "pager/probe/memory.h"

namespace pager {

// Throws base::Unsupported, with the reason, if KVM for 64-bit guests is not available to this
// user.
void require_kvm();

// A separate guest for each probe. Its physical memory is some pages with its code, followed by the
// VMM's memory. Only one thread at a time may use a vCPU. x86-64 only.
class Vcpus {
 public:
  // `memory` and `file` must outlive it. Throws base::Unsupported or std::system_error.
  Vcpus(const GuestMemory& memory, const MemoryFile& file, size_t count);
  Vcpus(Vcpus&&) = delete;
  Vcpus& operator=(Vcpus&&) = delete;
  Vcpus(const Vcpus&) = delete;
  Vcpus& operator=(const Vcpus&) = delete;
  ~Vcpus();

  // Runs one instruction of the guest that reads or writes byte `at` of a page. A poisoned page
  // raises SIGBUS, as in a load of this process. Throws base::Error if the guest stops for another
  // reason.
  void load(size_t vcpu, PageNumber page, size_t at);
  void store(size_t vcpu, PageNumber page, size_t at, std::byte value);
  // Returns kLine bytes from byte `at` of a page, copied by the guest. No more bytes, because in
  // nested virtualization without hardware support each 8 bytes take microseconds.
  static constexpr size_t kLine = 64;
  std::span<const std::byte> read_line(size_t vcpu, PageNumber page, size_t at);

 private:
  struct Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace pager
